import { normalCdf, normalQuantile } from './distributions.ts';
import { RandomStream } from './random.ts';
import {
  mean,
  type Numbers,
  requireSameLength,
  requireValues,
  sortedQuantile,
  standardDeviation,
  sum,
} from './summary.ts';

export interface BootstrapOptions {
  readonly seed?: number | string;
  /** Default 10,000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly confidence?: number;
  /** `percentile` (default) or `bca`: bias-corrected and accelerated (Efron 1987). */
  readonly method?: 'percentile' | 'bca';
}

/** An estimate and its bootstrap confidence interval. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly standardError: number;
  readonly confidence: number;
  readonly method: 'percentile' | 'bca';
  readonly resamples: number;
  /** Resamples whose statistic was undefined (e.g. a correlation without spread) and that the interval leaves out. */
  readonly undefinedResamples: number;
}

/**
 * Bootstrap of any statistic of `count` exchangeable observations, given as indices into them. The other functions here
 * are callers of this one.
 */
export function bootstrapIndices(
  count: number,
  statistic: (indices: Int32Array) => number,
  options: BootstrapOptions = {},
): Interval {
  const { seed = 0, resamples = 10_000, method = 'percentile' } = options;
  const stream = RandomStream.create(seed, 'bootstrap');
  const all = Int32Array.from({ length: count }, (_, index) => index);
  const estimate = statistic(all);
  const indices = new Int32Array(count);
  const draws = new Float64Array(resamples);
  for (let draw = 0; draw < resamples; draw++) {
    for (let i = 0; i < count; i++) indices[i] = stream.integer(count);
    draws[draw] = statistic(indices);
  }
  const adjust =
    method === 'bca'
      ? accelerated(
          draws,
          estimate,
          Float64Array.from(all, (left) => statistic(all.filter((i) => i !== left))),
        )
      : undefined;
  return intervalOfDraws(draws, estimate, options, adjust);
}

/** The interval that resampled statistics make; those that are NaN are left out. */
function intervalOfDraws(
  draws: Float64Array,
  estimate: number,
  { resamples = 10_000, confidence = 0.95, method = 'percentile' }: BootstrapOptions,
  adjust: (probability: number) => number = (probability) => probability,
): Interval {
  const defined = draws.filter((value) => !Number.isNaN(value)).sort();
  const tail = (1 - confidence) / 2;
  return {
    estimate,
    low: sortedQuantile(defined, adjust(tail)),
    high: sortedQuantile(defined, adjust(1 - tail)),
    standardError: standardDeviation(defined),
    confidence,
    method,
    resamples,
    undefinedResamples: draws.length - defined.length,
  };
}

/** BCa's map from nominal to used probabilities, from the draws' bias and the jackknife's skew. */
function accelerated(
  draws: Float64Array,
  estimate: number,
  jackknife: Float64Array,
): (probability: number) => number {
  let below = 0;
  for (const draw of draws) below += draw < estimate ? 1 : draw === estimate ? 0.5 : 0;
  const bias = normalQuantile(below / draws.length);
  const centre = mean(jackknife);
  let cubes = 0;
  let squares = 0;
  for (const value of jackknife) {
    cubes += (centre - value) ** 3;
    squares += (centre - value) ** 2;
  }
  const acceleration = squares === 0 ? 0 : cubes / (6 * squares ** 1.5);
  if (!Number.isFinite(bias)) return (probability) => probability; // every draw on one side: nothing to correct by
  return (probability) => {
    const z = bias + normalQuantile(probability);
    return normalCdf(bias + z / (1 - acceleration * z));
  };
}

/** Bootstrap interval of a statistic (default: the mean) of one sample. */
export function bootstrap(
  values: Numbers,
  options: BootstrapOptions & { readonly statistic?: (sample: Float64Array) => number } = {},
): Interval {
  requireValues(values, 2, 'A bootstrap');
  const { statistic = mean } = options;
  const sample = new Float64Array(values.length);
  return bootstrapIndices(
    values.length,
    (indices) => {
      for (let i = 0; i < indices.length; i++) sample[i] = values[indices[i]!]!;
      return statistic(sample.subarray(0, indices.length));
    },
    options,
  );
}

/** Interval of the mean of first − second, resampling pairs. */
export function pairedBootstrap(first: Numbers, second: Numbers, options: BootstrapOptions = {}): Interval {
  requireSameLength(first, second, 'A paired bootstrap');
  return bootstrap(
    Float64Array.from(first, (value, index) => value - second[index]!),
    options,
  );
}

/** Sums and sizes of the clusters that values come in, clusters in the order of their first value. */
export interface ClusterSums {
  readonly sums: Float64Array;
  readonly sizes: Float64Array;
}

/** Values with equal (`===`) entries in `clusters` are summed into one cluster. */
export function sumClusters(values: Numbers, clusters: ArrayLike<unknown>): ClusterSums {
  requireSameLength(values, clusters, 'Summing clusters');
  const members = new Map<unknown, number[]>();
  for (let i = 0; i < values.length; i++) {
    const cluster = members.get(clusters[i]);
    if (cluster === undefined) members.set(clusters[i], [values[i]!]);
    else cluster.push(values[i]!);
  }
  return {
    sums: Float64Array.from(members.values(), sum),
    sizes: Float64Array.from(members.values(), (cluster) => cluster.length),
  };
}

/**
 * Interval of the mean of values that come in clusters, as held-out pairs do of which several share a prompt. Clusters are
 * resampled whole: the values of one resemble each other, and drawing them singly would claim more evidence than there is.
 * Every value weighs the same, so the estimate is the plain mean.
 */
export function clusterBootstrap(
  values: Numbers,
  clusters: ArrayLike<unknown>,
  options: BootstrapOptions = {},
): Interval {
  const { sums, sizes } = sumClusters(values, clusters);
  requireValues(sums, 2, 'A bootstrap over clusters');
  const meanOf = (indices: Int32Array): number => {
    let total = 0;
    let count = 0;
    for (const index of indices) {
      total += sums[index]!;
      count += sizes[index]!;
    }
    return total / count;
  };
  return bootstrapIndices(sums.length, meanOf, options);
}

/** `NAME/low` and `NAME/high`: the 95 % interval of a mean over held-out items; nothing for a single prompt. */
export function intervalOverPrompts(
  name: string,
  values: readonly number[],
  prompts: readonly unknown[],
): Record<string, number> {
  if (new Set(prompts).size < 2) return {};
  const { low, high } = clusterBootstrap(values, prompts, { resamples: 2000 });
  return { [`${name}/low`]: low, [`${name}/high`]: high };
}
