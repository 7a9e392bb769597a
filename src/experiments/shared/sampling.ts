import type { LoadedModel } from '../../checkpoints/index.ts';
import { encodePrompt, type TextOrChat } from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { generate, type SamplingOptions, stopTokensFor } from '../../generate/index.ts';
import type { KeptParts } from '../../runs/index.ts';
import type { Tokenizer } from '../../text/index.ts';
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

/** Sequences decoded together: on a CPU, four times as many take half the time a token. */
const BATCH = 64;

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
    stopTokenIds: stopTokensFor({ model, tokenizer }, prompts),
    samplesPerPrompt: samples,
    batchSize: BATCH,
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

/** Prompts whose answers are kept together. */
const PART = 64;

/** Texts of answers to each prompt, kept part by part. */
export function sampleInParts(
  loaded: LoadedModel,
  prompts: readonly TextOrChat[],
  sampling: Sampling,
  { onProgress, ...watch }: StageWatch,
  kept: KeptParts,
): Promise<string[][]> {
  const { samples, seed } = sampling;
  return kept.collect(prompts, PART, async (part, before) => {
    const progress = (done: number) => onProgress?.(before * samples + done, prompts.length * samples);
    // Random numbers go by a prompt's place among those that are sampled together.
    const own = { ...sampling, seed: seed + 1_000_003 * before };
    const answers = await sampleTexts(loaded, part, own, { ...watch, onProgress: progress });
    return answers.map((texts) => texts.map(({ text }) => text));
  });
}

export interface ScoredText {
  readonly text: string;
  readonly score: number;
}

/** The best and the worst of several answers by their scores; undefined where no two differ. Empty ones do not count. */
export function bestAndWorst(
  answers: readonly ScoredText[],
): [best: ScoredText, worst: ScoredText] | undefined {
  const sorted = answers.filter(({ text }) => text.trim() !== '').sort((a, b) => b.score - a.score);
  const [best, worst] = [sorted[0], sorted.at(-1)];
  return best === undefined || worst === undefined || best.text === worst.text ? undefined : [best, worst];
}

/** Refuses a sampled set of pairs that is too small to train and to hold out from. `section` names the settings. */
export function checkPairs(pairs: number, prompts: number, section: string): void {
  if (pairs >= 4) return;
  throw new DataError(
    'no-pairs',
    `Only ${pairs} of ${prompts} prompts have two different answers; 4 are needed.`,
    {
      hint: `Sample more, or longer: --set ${section}.samples=N --set ${section}.maxNewTokens=N.`,
    },
  );
}

/** Mean length of some of the texts in tokens, at most `maxLength` each: what an estimate of the work starts from. */
export function meanTokens(texts: readonly string[], tokenizer: Tokenizer, maxLength: number): number {
  const some = texts.slice(0, 64);
  const lengths = some.map((text) => Math.min(maxLength, tokenizer.encode(text).length));
  return lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, some.length);
}
