import type { SamplingOptions } from '../../generate/index.ts';

/** What the command line says of how tokens are chosen. */
export interface SamplingFlags {
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly repetitionPenalty?: number;
  /** Answers to each prompt. */
  readonly n: number;
}

/**
 * What was asked for, then what the model's generation_config.json says. Its `do_sample: false` gives way to whatever asks to
 * sample; its repetition penalty holds for greedy answers too, as in transformers.
 */
export function samplingOptions(
  asked: SamplingFlags,
  config: Readonly<Record<string, unknown>>,
): SamplingOptions {
  const number = (given: number | undefined, key: string): number | undefined => {
    const stated = config[key];
    return given ?? (typeof stated === 'number' ? stated : undefined);
  };
  const repetitionPenalty = number(asked.repetitionPenalty, 'repetition_penalty');
  const penalty = repetitionPenalty === undefined ? {} : { repetitionPenalty };
  const sampled = asked.n > 1 || [asked.temperature, asked.topP, asked.topK].some((x) => x !== undefined);
  if (asked.greedy ?? (config.do_sample === false && !sampled)) return { greedy: true, ...penalty };
  const temperature = number(asked.temperature, 'temperature');
  const topP = number(asked.topP, 'top_p');
  const topK = number(asked.topK, 'top_k');
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && topK > 0 && { topK }),
    ...penalty,
  };
}

/** With the values that hold where none was given; of a greedy choice only the penalty matters. */
export function effectiveSampling({
  greedy = false,
  temperature = 1,
  topP = 1,
  topK = 0,
  repetitionPenalty = 1,
}: SamplingOptions) {
  return greedy ? { greedy, repetitionPenalty } : { greedy, temperature, topP, topK, repetitionPenalty };
}

/** `Sampling: temperature 0.6, top-p 0.9, repetition penalty 1.1.` */
export function describeSampling(options: SamplingOptions): string {
  const { temperature, topP = 1, topK = 0, repetitionPenalty } = effectiveSampling(options);
  const parts = [
    ...(temperature === undefined ? ['greedy'] : [`temperature ${temperature}`]),
    ...(topP < 1 ? [`top-p ${topP}`] : []),
    ...(topK > 0 ? [`top-k ${topK}`] : []),
    ...(repetitionPenalty === 1 ? [] : [`repetition penalty ${repetitionPenalty}`]),
  ];
  return `Sampling: ${parts.join(', ')}.`;
}
