export {
  type BootstrapOptions,
  bootstrap,
  bootstrapIndices,
  type ClusterSums,
  clusterBootstrap,
  type Interval,
  pairedBootstrap,
  sumClusters,
} from './bootstrap.ts';
export * from './correlation.ts';
export * from './crossed.ts';
export {
  normalCdf,
  normalQuantile,
  normalTwoSided,
  studentCdf,
  studentQuantile,
  studentTwoSided,
} from './distributions.ts';
export * from './random.ts';
export {
  type HistogramBin,
  histogram,
  mean,
  type Numbers,
  quantiles,
  type Summary,
  skewness,
  sortedQuantile,
  standardDeviation,
  sum,
  summarize,
  variance,
} from './summary.ts';
export * from './tests.ts';
