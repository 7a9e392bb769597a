import type { ItemResults } from '../../train/task.ts';
import { packScoredSequences, type ScoredRow } from './score-pass.ts';
import { ScoringTask } from './scoring-task.ts';

/** A text as a scoring model reads it. */
export interface LabelledTokens {
  readonly id: string;
  /** At least two. */
  readonly tokens: Int32Array;
  readonly label: 0 | 1;
}

export interface LabelResults extends ItemResults {
  readonly scores: Float64Array;
}

/** Binary cross-entropy of one score: −log σ(s) for label 1, −log σ(−s) for label 0. The score is the log odds of label 1. */
export function binaryCrossEntropy(
  items: readonly number[],
  scores: Float64Array,
  labels: readonly (0 | 1)[],
): LabelResults {
  const losses = new Float64Array(items.length);
  const slopes = new Float64Array(items.length);
  for (const [i, label] of labels.entries()) {
    const toward = label === 1 ? scores[i]! : -scores[i]!;
    losses[i] = Math.max(-toward, 0) + Math.log1p(Math.exp(-Math.abs(toward)));
    slopes[i] = (label === 1 ? -1 : 1) / (1 + Math.exp(toward));
  }
  return { items, losses, slopes, scores };
}

/** Texts of two kinds, as a classifier learns to tell them apart. */
export class LabelTask extends ScoringTask<LabelledTokens, LabelResults> {
  tokens(item: number): number {
    return this.at(item).tokens.length;
  }

  metrics(results: readonly LabelResults[]): Record<string, number> {
    const count = results.reduce((sum, { items }) => sum + items.length, 0);
    const total = (value: (result: LabelResults, index: number) => number) =>
      results.reduce((sum, result) => sum + result.items.reduce((s, _, i) => s + value(result, i), 0), 0);
    return {
      loss: total(({ losses }, i) => losses[i]!) / count,
      accuracy: total((result, i) => this.correct(result, i)) / count,
    };
  }

  /** Whether the score has the label's sign; ½ for a score of 0. */
  correct({ items, scores }: LabelResults, index: number): 0 | 0.5 | 1 {
    const score = scores[index]!;
    if (score === 0) return 0.5;
    return score > 0 === (this.at(items[index]!).label === 1) ? 1 : 0;
  }

  protected pack(texts: readonly LabelledTokens[], padTokenId: number | undefined): ScoredRow {
    return packScoredSequences(
      texts.map(({ tokens }) => splitFirst(tokens)),
      padTokenId,
    );
  }

  protected lossOf(items: readonly number[], scores: Float64Array): LabelResults {
    return binaryCrossEntropy(
      items,
      scores,
      items.map((item) => this.at(item).label),
    );
  }
}

/** A packed sequence has a prompt: here the first token. */
export function splitFirst(tokens: Int32Array): { prompt: Int32Array; completion: Int32Array } {
  return { prompt: tokens.subarray(0, 1), completion: tokens.subarray(1) };
}
