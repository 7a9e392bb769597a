import { packedLength, type TokenizedPair } from '../../data/index.ts';
import { tidy } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import type { PassOptions, RowPass } from '../../train/pass.ts';
import type { ItemResults, LoopTask } from '../../train/task.ts';
import { packScoredPairs, scorePass } from './score-pass.ts';

export interface RewardResults extends ItemResults {
  readonly chosenScores: Float64Array;
  readonly rejectedScores: Float64Array;
}

/**
 * Bradley–Terry: −log σ(r_w − r_l), plus `centering`·(r_w + r_l)², which keeps rewards about zero (Eisenstein et al. 2023)
 * without touching their differences much. Losses and the slopes of chosen and rejected scores in turn.
 */
export function bradleyTerry(
  items: readonly number[],
  scores: Float64Array,
  centering: number,
): RewardResults {
  const losses = new Float64Array(items.length);
  const slopes = new Float64Array(scores.length);
  for (let i = 0; i < items.length; i++) {
    const [chosen, rejected] = [scores[2 * i]!, scores[2 * i + 1]!];
    const margin = chosen - rejected;
    const sum = chosen + rejected;
    const lose = 1 / (1 + Math.exp(margin));
    losses[i] = Math.max(-margin, 0) + Math.log1p(Math.exp(-Math.abs(margin))) + centering * sum * sum;
    slopes[2 * i] = -lose + 2 * centering * sum;
    slopes[2 * i + 1] = lose + 2 * centering * sum;
  }
  return {
    items,
    losses,
    slopes,
    chosenScores: scores.filter((_, index) => index % 2 === 0),
    rejectedScores: scores.filter((_, index) => index % 2 === 1),
  };
}

/** Preference pairs as a reward model learns them. */
export class RewardTask implements LoopTask<RewardResults> {
  readonly #pairs: readonly TokenizedPair[];
  readonly #model: SequenceClassifier;
  readonly #centering: number;

  constructor(model: SequenceClassifier, pairs: readonly TokenizedPair[], centering = 0) {
    this.#model = model;
    this.#pairs = pairs;
    this.#centering = centering;
  }

  get items(): number {
    return this.#pairs.length;
  }

  id(item: number): string {
    return this.#pairs[item]!.id;
  }

  /** Both last tokens are read as well. */
  tokens(item: number): number {
    return packedLength(this.#pairs[item]!) + 2;
  }

  weight(): number {
    return 1;
  }

  /** The training pass, for `runLoop`. */
  rowPass({ recompute = 'none' }: Pick<PassOptions, 'recompute'> = {}): RowPass<RewardResults> {
    return (items, totalWeight, gradients, check) =>
      tidy(() => {
        const scored = this.#pack(items);
        const pass = scorePass(this.#model, scored, { gradients: true, recompute });
        const result = bradleyTerry(items, pass.scores, this.#centering);
        check(result);
        pass.backward(
          result.slopes.map((slope) => slope / totalWeight),
          gradients,
        );
        return { result, tokens: scored.row.tokens.length };
      });
  }

  /** Losses of some items, without gradients. */
  evaluate(items: readonly number[]): RewardResults {
    return tidy(() => {
      const { scores } = scorePass(this.#model, this.#pack(items), { gradients: false });
      return bradleyTerry(items, scores, this.#centering);
    });
  }

  metrics(results: readonly RewardResults[]): Record<string, number> {
    const pairs = results.reduce((sum, { items }) => sum + items.length, 0);
    const mean = (value: (result: RewardResults, index: number) => number) =>
      results.reduce((sum, result) => sum + result.items.reduce((s, _, i) => s + value(result, i), 0), 0) /
      pairs;
    return {
      loss: mean(({ losses }, i) => losses[i]!),
      'rewards/chosen': mean(({ chosenScores }, i) => chosenScores[i]!),
      'rewards/rejected': mean(({ rejectedScores }, i) => rejectedScores[i]!),
      'rewards/margins': mean(({ chosenScores, rejectedScores }, i) => chosenScores[i]! - rejectedScores[i]!),
      'rewards/accuracies': mean((result, i) => rewardWin(result, i)),
    };
  }

  #pack(items: readonly number[]) {
    return packScoredPairs(
      items.map((item) => this.#pairs[item]!),
      this.#model.config.padTokenId,
    );
  }
}

/** 1 when chosen scores higher, ½ for a tie. */
export function rewardWin({ chosenScores, rejectedScores }: RewardResults, index: number): 0 | 0.5 | 1 {
  const margin = chosenScores[index]! - rejectedScores[index]!;
  return margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
}
