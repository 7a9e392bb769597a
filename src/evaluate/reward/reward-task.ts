import { packedLength, type TokenizedPair } from '../../data/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { win } from '../../stats/summary.ts';
import type { ItemResults } from '../../train/task.ts';
import { packScoredPairs, type ScoredRow } from './score-pass.ts';
import { ScoringTask } from './scoring-task.ts';

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
export class RewardTask extends ScoringTask<TokenizedPair, RewardResults> {
  readonly #centering: number;

  constructor(model: SequenceClassifier, pairs: readonly TokenizedPair[], centering = 0) {
    super(model, pairs);
    this.#centering = centering;
  }

  /** Both last tokens are read as well. */
  tokens(item: number): number {
    return packedLength(this.at(item)) + 2;
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
      'rewards/accuracies': mean(({ chosenScores, rejectedScores }, i) =>
        win(chosenScores[i]!, rejectedScores[i]!),
      ),
    };
  }

  protected pack(pairs: readonly TokenizedPair[], padTokenId: number | undefined): ScoredRow {
    return packScoredPairs(pairs, padTokenId);
  }

  protected lossOf(items: readonly number[], scores: Float64Array): RewardResults {
    return bradleyTerry(items, scores, this.#centering);
  }
}
