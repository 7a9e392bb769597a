import { type BootstrapOptions, clusterBootstrap, sumClusters } from './bootstrap.ts';
import { type Component, cochranCox } from './cochran-cox.ts';
import { type Numbers, requireValues, sum, variance } from './summary.ts';
import { pairedDifferences, pairedPermutationTest } from './tests.ts';

/** What a method's runs, a training seed each, measured on the same items: `runs[seed][item]`, NaN where one lacks it. */
export type SeedRuns = readonly Numbers[];

export interface CrossedOptions extends Pick<BootstrapOptions, 'seed' | 'resamples'> {
  /** Least and largest mean, or difference, that there can be: no interval goes beyond. */
  readonly range?: readonly [number, number];
}

/** A mean or a difference of means with its 95 % interval. */
export interface CrossedEstimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

export interface CrossedDifference extends CrossedEstimate {
  /** Two-sided. */
  readonly pValue: number;
}

const EVERYWHERE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;

/**
 * Mean of a method that was trained under several seeds and measured on the same items, of which `clusters[item]` names
 * the prompt. Seeds and prompts are crossed, as a seed's luck moves all prompts together: the variance is that of the
 * seeds' means and that of the prompts', and Student's t is weighed between their degrees of freedom (`cochranCox`), wide
 * where few seeds differ much. With a single seed the interval is the bootstrap's over prompts, and says nothing about the
 * luck of training. Throws `DataError` for less than two prompts.
 */
export function crossedMean(
  runs: SeedRuns,
  clusters: ArrayLike<unknown>,
  options: CrossedOptions = {},
): CrossedEstimate {
  const measured = measuredRuns(runs);
  const { range = EVERYWHERE } = options;
  if (measured.length > 1) return within(range, testOf(methodOf(measured, clusters)));
  const [only] = measured as [Numbers];
  const items = Array.from(only, (_, item) => item).filter((item) => !Number.isNaN(only[item]!));
  return within(
    range,
    clusterBootstrap(
      items.map((item) => only[item]!),
      items.map((item) => clusters[item]),
      options,
    ),
  );
}

/**
 * Difference of two methods' means, second − first, on the same items. Prompts are common to both (a pair stays a pair), and
 * the seeds of each its own. The test is that of `crossedMean`, the luck of both methods' seeds being one variance (Welch,
 * Satterthwaite); its p-value is never below what flipping the sign of every prompt could tell. A single run beside several is taken to have their luck. Two single runs
 * tell nothing about it: the interval is the bootstrap's over prompts, and the p-value the permutation test's.
 */
export function crossedDifference(
  first: SeedRuns,
  second: SeedRuns,
  clusters: ArrayLike<unknown>,
  options: CrossedOptions = {},
): CrossedDifference {
  const { range = EVERYWHERE } = options;
  const [from, to] = [measuredRuns(first), measuredRuns(second)];
  if (from.length === 1 && to.length === 1) {
    const differences = pairedDifferences(to[0]!, from[0]!);
    const { sums } = sumClusters(differences, clusters);
    const { pValue } = pairedPermutationTest(sums, new Float64Array(sums.length));
    return { ...within(range, clusterBootstrap(differences, clusters, options)), pValue };
  }
  const test = testOf(methodOf(to, clusters), methodOf(from, clusters));
  const least = 2 ** (1 - new Set(Array.from(clusters)).size);
  return { ...within(range, test), pValue: Math.max(least, test.pValue) };
}

/** Runs that measured anything. */
function measuredRuns(runs: SeedRuns): SeedRuns {
  const measured = runs.filter((values) => !Array.from(values).every(Number.isNaN));
  requireValues(
    measured.map(() => 0),
    1,
    'A mean over seeds and prompts',
  );
  return measured;
}

interface MeasuredMethod {
  readonly mean: number;
  /** How far each prompt moves the mean; their sum is zero. */
  readonly influence: Float64Array;
  readonly runs: number;
  /** Of the runs' means, which is the luck of training; a single run has none. */
  readonly luck?: Component;
  readonly largest: number;
}

function methodOf(runs: SeedRuns, clusters: ArrayLike<unknown>): MeasuredMethod {
  const summed = runs.map((values) => sumPresent(values, clusters));
  const count = sum(summed.map(({ sizes }) => sum(sizes)));
  const pooled = sum(summed.map(({ sums }) => sum(sums))) / count;
  const influence = new Float64Array(summed[0]!.sums.length);
  for (const { sums, sizes } of summed) {
    for (const [prompt, total] of sums.entries()) {
      influence[prompt] = influence[prompt]! + (total - pooled * sizes[prompt]!) / count;
    }
  }
  const means = summed.map(({ sums, sizes }) => sum(sums) / sum(sizes));
  return {
    mean: pooled,
    influence,
    runs: means.length,
    ...(means.length > 1 && { luck: { variance: variance(means), df: means.length - 1 } }),
    largest: Math.max(...means.map(Math.abs)),
  };
}

/** A run's items, summed over each prompt. */
function sumPresent(values: Numbers, clusters: ArrayLike<unknown>) {
  const present = Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1));
  const { sums } = sumClusters(
    present.map((is, item) => (is === 1 ? values[item]! : 0)),
    clusters,
  );
  return { sums, sizes: sumClusters(present, clusters).sums };
}

/** The test of a method's mean, or of the first's less the second's. */
function testOf(method: MeasuredMethod, other?: MeasuredMethod): CrossedDifference {
  const influence =
    other === undefined ? method.influence : pairedDifferences(method.influence, other.influence);
  const prompts = influence.length;
  requireValues(influence, 2, 'A mean over seeds and prompts');
  const components = [
    { variance: prompts * variance(influence), df: prompts - 1 },
    luckOf(other === undefined ? [method] : [method, other]),
  ];
  const largest = Math.max(method.largest, other?.largest ?? 0);
  return cochranCox(method.mean - (other?.mean ?? 0), components, largest);
}

/** The luck of training in the methods' means. That of a single run is taken to be as large as the other method's. */
function luckOf(methods: readonly MeasuredMethod[]): Component {
  const known = methods.flatMap(({ luck, runs }) => (luck === undefined ? [] : [{ ...luck, runs }]));
  const [only, ...more] = known as [(typeof known)[number], ...typeof known];
  if (more.length === 0) {
    return { variance: only.variance * sum(methods.map(({ runs }) => 1 / runs)), df: only.df };
  }
  return satterthwaite(known.map((each) => ({ variance: each.variance / each.runs, df: each.df })));
}

/** A sum of variances as one, with the degrees of freedom that its estimate has about as many of (1946). */
function satterthwaite(components: readonly Component[]): Component {
  const total = sum(components.map((each) => each.variance));
  const df = total ** 2 / sum(components.map((each) => each.variance ** 2 / each.df));
  return { variance: total, df };
}

function within(
  [least, largest]: readonly [number, number],
  { estimate, low, high }: CrossedEstimate,
): CrossedEstimate {
  return { estimate, low: Math.max(least, low), high: Math.min(largest, high) };
}
