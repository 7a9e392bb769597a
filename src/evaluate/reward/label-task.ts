import { tidy } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import type { PassOptions, RowPass } from '../../train/pass.ts';
import type { ItemResults, LoopTask } from '../../train/task.ts';
import { packScoredSequences, scorePass } from './score-pass.ts';

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
export class LabelTask implements LoopTask<LabelResults> {
  readonly #texts: readonly LabelledTokens[];
  readonly #model: SequenceClassifier;

  constructor(model: SequenceClassifier, texts: readonly LabelledTokens[]) {
    this.#model = model;
    this.#texts = texts;
  }

  get items(): number {
    return this.#texts.length;
  }

  id(item: number): string {
    return this.#texts[item]!.id;
  }

  tokens(item: number): number {
    return this.#texts[item]!.tokens.length;
  }

  weight(): number {
    return 1;
  }

  rowPass({ recompute = 'none' }: Pick<PassOptions, 'recompute'> = {}): RowPass<LabelResults> {
    return (items, totalWeight, gradients, check) =>
      tidy(() => {
        const scored = this.#pack(items);
        const pass = scorePass(this.#model, scored, { gradients: true, recompute });
        const result = this.#evaluate(items, pass.scores);
        check(result);
        pass.backward(
          result.slopes.map((slope) => slope / totalWeight),
          gradients,
        );
        return { result, tokens: scored.row.tokens.length };
      });
  }

  /** Losses of some items, without gradients. */
  evaluate(items: readonly number[]): LabelResults {
    return tidy(() =>
      this.#evaluate(items, scorePass(this.#model, this.#pack(items), { gradients: false }).scores),
    );
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
    return score > 0 === (this.#texts[items[index]!]!.label === 1) ? 1 : 0;
  }

  #evaluate(items: readonly number[], scores: Float64Array): LabelResults {
    return binaryCrossEntropy(
      items,
      scores,
      items.map((item) => this.#texts[item]!.label),
    );
  }

  #pack(items: readonly number[]) {
    return packScoredSequences(
      items.map((item) => splitFirst(this.#texts[item]!.tokens)),
      this.#model.config.padTokenId,
    );
  }
}

/** A packed sequence has a prompt: here the first token. */
export function splitFirst(tokens: Int32Array): { prompt: Int32Array; completion: Int32Array } {
  return { prompt: tokens.subarray(0, 1), completion: tokens.subarray(1) };
}
