import { UsageError } from '../errors.ts';
import type { ExtraStatistic, PairBatch } from './contract.ts';

/** The factor β in z = w·β·(gap − m), one for a batch. No gradient flows through it. */
export interface Scale {
  readonly name: string;
  /** Whether β depends on which pairs the batch holds. */
  readonly batchWide: boolean;
  /** From the batch's log-ratio gaps. */
  beta(gaps: Float64Array): number;
  /** Called once a training step with the step's gaps; absent where β never moves. */
  advance?(gaps: Float64Array): void;
  state?(): Record<string, number>;
  restore?(state: Readonly<Record<string, number>>): void;
}

export function constantScale(beta: number): Scale {
  return { name: 'constant', batchWide: false, beta: () => beta };
}

/** β-DPO never lets β fall below this. */
const LEAST_BETA = 1e-3;

/**
 * β-DPO (Wu et al. 2024): β_b = max(β[1 + α(mean gap of the batch − M)], 1e-3), M a moving average of the mean gap
 * that starts at 0. The paper's optional filter of the batch is not part of it.
 */
export function dynamicScale(beta: number, alpha: number, momentum: number): Scale {
  let average = 0;
  const meanOf = (gaps: Float64Array): number => gaps.reduce((total, gap) => total + gap, 0) / gaps.length;
  return {
    name: 'batch-dynamic',
    batchWide: alpha !== 0,
    beta: (gaps) => Math.max(beta * (1 + alpha * (meanOf(gaps) - average)), LEAST_BETA),
    advance: (gaps) => {
      average = momentum * average + (1 - momentum) * meanOf(gaps);
    },
    state: () => ({ average }),
    restore: (state) => {
      if (!Number.isFinite(state.average)) {
        throw new UsageError(
          'objective-state',
          `β-DPO's saved state holds ${JSON.stringify(state)}; expected a finite 'average'.`,
          { hint: 'Resume from a checkpoint that was trained with the same objective.' },
        );
      }
      average = state.average!;
    },
  };
}

/** A factor on each pair's loss. No gradient flows through it. */
export interface PairWeights {
  readonly name: string;
  readonly extras: readonly ExtraStatistic[];
  evaluate(batch: PairBatch): Float64Array;
}

/**
 * WPO (Zhou et al. 2024): min(1, ω_w ω_l), ω = exp(mean_t[log p_t − log Σ_v p²]): how likely the policy is to write the
 * pair itself.
 */
export const policyWeights: PairWeights = {
  name: 'policy-weight',
  extras: ['logSumSquares'],
  evaluate: ({ chosen, rejected }) =>
    chosen.logps.map((logp, i) => {
      const chosenMean = (logp - chosen.extras!.logSumSquares![i]!) / chosen.tokens[i]!;
      const rejectedMean = (rejected.logps[i]! - rejected.extras!.logSumSquares![i]!) / rejected.tokens[i]!;
      return Math.exp(Math.min(0, chosenMean + rejectedMean));
    }),
};
