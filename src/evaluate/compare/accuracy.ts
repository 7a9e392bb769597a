import type { Method, RunEvidence } from './metrics.ts';
import { RELATIVE_REWARD } from './reward-kind.ts';

/** Methods whose held-out accuracy is measured one way, and the kind of reward that it goes by. */
export interface AlikeMethods {
  readonly methods: readonly Method[];
  /** Runs without log-ratios, for whose sake accuracy goes by each run's own reward; empty where none does. */
  readonly lacking: readonly string[];
}

/**
 * Accuracy by log-ratios says the same of every objective. Where some run lacks them, all runs are taken at their own
 * rewards, and `accuracyKinds` says which of them can be compared.
 */
export function alikeInAccuracy(methods: readonly Method[]): AlikeMethods {
  const lacking = methods
    .flatMap(({ runs }) => runs)
    .filter(({ metrics, rewardAccuracy }) => metrics.accuracy === undefined && rewardAccuracy !== undefined)
    .map(({ path }) => path);
  if (lacking.length === 0) return { methods, lacking };
  return {
    methods: methods.map((method) => ({ ...method, runs: method.runs.map(byOwnReward) })),
    lacking,
  };
}

function byOwnReward(run: RunEvidence): RunEvidence {
  if (run.rewardAccuracy === undefined) return run;
  return { ...run, metrics: { ...run.metrics, accuracy: run.rewardAccuracy.values } };
}

/** The kinds of reward that methods' accuracies go by, the runs being at their own rewards. */
export function accuracyKinds(methods: readonly Method[]): string[] {
  const kinds = methods.flatMap(({ runs }) =>
    runs.map(({ rewardAccuracy }) => rewardAccuracy?.kind ?? RELATIVE_REWARD),
  );
  return [...new Set(kinds)];
}
