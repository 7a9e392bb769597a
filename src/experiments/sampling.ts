import type { LoadedModel } from '../checkpoints/index.ts';
import { encodePrompt, type TextOrChat } from '../data/index.ts';
import { generate, type SamplingOptions } from '../generate/index.ts';
import type { StageWatch } from './stages.ts';

export interface SampledText {
  /** What follows the prompt, without special tokens. */
  readonly text: string;
  /** The sampled ids, the stop token included: it was sampled too. */
  readonly tokens: Int32Array;
}

export interface Sampling extends SamplingOptions {
  readonly maxNewTokens: number;
  readonly samples: number;
  readonly seed: number;
}

/** Samples answers to each prompt, as text and as tokens. */
export async function sampleTexts(
  { model, tokenizer }: LoadedModel,
  prompts: readonly TextOrChat[],
  { samples, ...options }: Sampling,
  { onProgress, signal }: Pick<StageWatch, 'onProgress' | 'signal'> = {},
): Promise<SampledText[][]> {
  const encoded = prompts.map((prompt) => encodePrompt(prompt, tokenizer));
  const completions = await generate(model, encoded, {
    ...options,
    samplesPerPrompt: samples,
    ...(onProgress && { onProgress: ({ finished, total }) => onProgress(finished, total) }),
    ...(signal && { signal }),
  });
  const decode = (tokens: Iterable<number>) =>
    tokenizer.decode(Int32Array.from(tokens), { skipSpecialTokens: true });
  return completions.map((own, index) => {
    const before = decode(encoded[index]!);
    return own.map(({ tokens, stopToken }) => {
      // Some tokenizers write a word's space only where something stands before it.
      const whole = decode([...encoded[index]!, ...tokens]);
      return {
        text: whole.startsWith(before) ? whole.slice(before.length) : decode(tokens),
        tokens: stopToken === undefined ? tokens : Int32Array.from([...tokens, stopToken]),
      };
    });
  });
}
