/**
 * The contract of an objective: a pure function from per-completion statistics to a loss and its slope.
 *
 * It works on plain float64 arrays, one entry a pair. A batch has a few to a few hundred pairs, so this costs
 * microseconds, it is exact where fp32 is not (the Mallows-φ link), the same code serves the bandit's 500,000 epochs,
 * and a user can write one without knowing a tensor. The slopes return to the device as the seed of the backward pass.
 */

/** One side of a batch of `n` pairs. */
export interface CompletionBatch {
  /** Σ_t log π(y_t | x, y_<t), nats. `[n]` */
  readonly logps: Float64Array;
  /** The same under the reference model. `[n]`; absent for reference-free objectives. */
  readonly referenceLogps?: Float64Array;
  /** Scored tokens of each completion. `[n]` */
  readonly tokens: Float64Array;
  /** Statistics that an objective asked for by name, e.g. WPO's Σ_t log Σ_v p². `[n]` each */
  readonly extras?: Readonly<Partial<Record<ExtraStatistic, Float64Array>>>;
}

/** Σ over the completion's tokens of log Σ_v p(v)², under the policy. */
export type ExtraStatistic = 'logSumSquares';

export interface PairBatch {
  readonly chosen: CompletionBatch;
  readonly rejected: CompletionBatch;
  /** w(x) = −log φ(x), mean 1 over the training data, high where people agree. `[n]`; absent means 1 everywhere. */
  readonly w?: Float64Array;
  /** Reward gap chosen − rejected (ODPO); NaN for a pair whose data have none. `[n]` */
  readonly scoreGaps?: Float64Array;
}

export interface ObjectiveResult {
  /** Loss of each pair. `[n]` */
  readonly losses: Float64Array;
  /** ∂losses[i]/∂chosen.logps[i] and ∂losses[i]/∂rejected.logps[i]. Not divided by the batch size. `[n]` */
  readonly chosenSlopes: Float64Array;
  readonly rejectedSlopes: Float64Array;
  /** Implicit rewards for metrics: β(log π − log π_ref), or the objective's own score times β. `[n]` */
  readonly chosenRewards: Float64Array;
  readonly rejectedRewards: Float64Array;
}

/** What a score gap must be for a loss to be defined. */
export type ScoreGapNeed = 'finite' | 'positive';

export interface Objective {
  readonly name: string;
  /** Whether a reference pass must supply `referenceLogps`. */
  readonly needsReference: boolean;
  /** Whether w(x) enters the loss. */
  readonly usesDispersion: boolean;
  readonly extras: readonly ExtraStatistic[];
  /**
   * Whether a pair's loss depends on the pairs beside it, so that an update must not be split into several passes.
   * Absent: it does not.
   */
  readonly batchWide?: boolean;
  /** Needs `scoreGaps`, of every pair. Absent: does without them. */
  readonly needsScoreGaps?: ScoreGapNeed;
  /** Changes no state, so evaluation and repeated calls are safe. */
  evaluate(batch: PairBatch): ObjectiveResult;
  /** Called by the trainer once for each training batch, after `evaluate`. Absent for pure objectives. */
  advance?(batch: PairBatch): void;
  /** State that evolves over steps (β-DPO's moving average), saved with checkpoints. Absent for pure objectives. */
  state?(): Record<string, number>;
  restore?(state: Readonly<Record<string, number>>): void;
}
