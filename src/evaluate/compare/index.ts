export {
  type ComparisonReport,
  compareMethods,
  type MethodSummary,
  type MetricEstimate,
} from './compare.ts';
export { bleu, distinctN, selfBleu, words } from './diversity.ts';
export { groupBySeed, loadEvidence, type RunFiles, runFile } from './evidence.ts';
export { type Frontier, type FrontierOptions, type FrontierPoint, frontiers } from './frontier.ts';
export { type ReadablePair, readDispersion, readJudgedPairs } from './judged.ts';
export {
  type Difference as MetricDifference,
  formatMetric,
  METRICS,
  type Measurement,
  type Method,
  type MetricComparison,
  type MetricKind,
  type MetricName,
  type MetricValues,
  type RunEvidence,
} from './metrics.ts';
export { hasFinished, type RunEnd } from './run-end.ts';
