import type { PackedCompletion } from '../../data/contract.ts';
import { type PackedRow, packPairs, packSequences, type TokenizedPair } from '../../data/index.ts';
import { packByLength } from '../../data/pack.ts';
import { noGrad, ops, type Tensor, tensor, tidy, wideDType } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { packWeights } from '../../models/packed-weights.ts';
import type { GradientStore } from '../../train/gradients.ts';
import { type WalkOptions, walk } from '../../train/walk.ts';

export interface ScoredRow {
  readonly row: PackedRow;
  /** Row index whose hidden state gives each completion's score, in the row's order of completions. */
  readonly places: Int32Array;
}

/** How scoring is followed, and ended before its time. */
export interface ScoreWatch {
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends scoring between two rows. */
  readonly signal?: AbortSignal;
}

type PairTokens = Pick<TokenizedPair, 'prompt' | 'chosen' | 'rejected'>;
/** A prompt with its answer, as tokens. */
export type SequenceTokens = { readonly prompt: Int32Array; readonly completion: Int32Array };

/**
 * Packs pairs for scoring: prompt once, both completions whole. A language model's row leaves out the last token of a
 * completion, which predicts nothing; here it is the one that is read, so each completion gets a token more to lose.
 */
export function packScoredPairs(pairs: readonly PairTokens[], padTokenId: number | undefined): ScoredRow {
  const longer = pairs.map(({ prompt, chosen, rejected }) => ({
    prompt,
    chosen: withSlot(chosen),
    rejected: withSlot(rejected),
  }));
  return scoredRow(packPairs(longer), (at) => pairs[at.item]![at.side], padTokenId);
}

/** The same for single completions. */
export function packScoredSequences(
  sequences: readonly SequenceTokens[],
  padTokenId: number | undefined,
): ScoredRow {
  const longer = sequences.map(({ prompt, completion }) => ({ prompt, completion: withSlot(completion) }));
  return scoredRow(packSequences(longer), ({ item }) => sequences[item]!.completion, padTokenId);
}

/**
 * Scores `[completions]` of one row, and the way back from ∂loss/∂score. Everything belongs to the caller's `tidy` scope.
 */
export function scorePass(model: SequenceClassifier, { row, places }: ScoredRow, options: WalkOptions) {
  const way = walk(model, row, places, options);
  const output = noGrad(() => model.score.forward(way.hidden));
  return {
    scores: output.toFloat64(),
    backward(slopes: Float64Array, gradients: GradientStore): void {
      const { weight } = model.score;
      const dHidden = tidy(
        (): Tensor =>
          noGrad(() => {
            const shape = [slopes.length, 1];
            const dtype = wideDType(way.hidden.dtype);
            const seed = tensor(slopes, { shape, dtype, device: model.device });
            const dScores = ops.to(seed, way.hidden.dtype);
            if (weight.value.requiresGrad) gradients.addProduct(weight, ops.t(dScores), way.hidden);
            return ops.product(dScores, weight.value);
          }),
      );
      way.backward(dHidden, gradients);
    },
  };
}

/** Scores `[sequences · labels]` in the order given: sequences of similar length share a row, weights are packed meanwhile. */
export async function scoreSequences(
  model: SequenceClassifier,
  sequences: readonly SequenceTokens[],
  { onProgress, signal }: ScoreWatch = {},
): Promise<Float64Array> {
  const labels = model.score.outFeatures;
  const scores = new Float64Array(sequences.length * labels);
  const lengths = sequences.map(({ prompt, completion }) => prompt.length + completion.length);
  const unpack = packWeights(model, { tokens: lengths.reduce((sum, length) => sum + length, 0) });
  try {
    let done = 0;
    for (const items of packByLength(lengths)) {
      signal?.throwIfAborted();
      tidy(() => {
        const row = packScoredSequences(
          items.map((item) => sequences[item]!),
          model.config.padTokenId,
        );
        const found = scorePass(model, row, { gradients: false }).scores;
        for (const [index, item] of items.entries()) {
          scores.set(found.subarray(index * labels, (index + 1) * labels), item * labels);
        }
      });
      done += items.length;
      onProgress?.(done, sequences.length);
      await new Promise(setImmediate);
    }
    return scores;
  } finally {
    unpack();
  }
}

function scoredRow(
  row: PackedRow,
  tokensOf: (at: PackedCompletion) => Int32Array,
  padTokenId: number | undefined,
): ScoredRow {
  const places = Int32Array.from(row.completions, (completion) => {
    // As transformers: the last token that is not padding is read, also where a text itself ends in that token.
    const tokens = tokensOf(completion);
    let trailing = 0;
    while (trailing < tokens.length && tokens[tokens.length - 1 - trailing] === padTokenId) trailing++;
    return completion.rows[Math.max(0, completion.rows.length - 1 - trailing)]!;
  });
  return { row, places };
}

function withSlot(tokens: Int32Array): Int32Array {
  const longer = new Int32Array(tokens.length + 1);
  longer.set(tokens);
  return longer;
}
