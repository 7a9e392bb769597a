export type { ThirdComparison } from './by-thirds.ts';
export {
  type CompareOptions,
  type ComparisonReport,
  compareMethods,
  type MethodSummary,
  type MetricEstimate,
} from './compare.ts';
export { bleu, distinctN, selfBleu, words } from './diversity.ts';
export { groupBySeed, loadEvidence, type RunFiles, runFile } from './evidence.ts';
export { type Frontier, type FrontierOptions, type FrontierPoint, frontiers } from './frontier.ts';
export {
  type HeldOutValues,
  LOG_RATIO_ACCURACY,
  REWARD_ACCURACY,
  readHeldOut,
} from './held-out.ts';
export {
  type JudgedPairs,
  type Judgement,
  NO_VERDICT,
  type ReadablePair,
  readJudgedPairs,
} from './judged.ts';
export {
  type Difference as MetricDifference,
  formatMetric,
  loggedRange,
  METRICS,
  type Measurement,
  type Method,
  type MetricComparison,
  type MetricKind,
  type MetricName,
  type MetricValues,
  type Range as MetricRange,
  type RunEvidence,
} from './metrics.ts';
export { overlapWords, type PromptOverlap, promptOverlap } from './prompt-overlap.ts';
export { metricScale } from './reward-kind.ts';
export type { RunEnd } from './run-end.ts';
export type { Third } from './thirds.ts';
export { type PromptWeights, readWeights } from './weights.ts';
