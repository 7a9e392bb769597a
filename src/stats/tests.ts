import { rankWithTies } from './correlation.ts';
import { fairBinomialCdf, normalTwoSided, studentQuantile, studentTwoSided } from './distributions.ts';
import { RandomStream } from './random.ts';
import { mean, type Numbers, requireSameLength, requireValues, variance } from './summary.ts';

/** Two-sided test. */
export interface TestResult {
  readonly statistic: number;
  readonly pValue: number;
  /** Observations that entered, after ties or zeros were dropped. */
  readonly count: number;
}

export interface TTestResult extends TestResult {
  readonly df: number;
  /** Mean difference, first − second. */
  readonly difference: number;
  /** 95 % confidence interval of the difference; null where `statistic` is NaN. */
  readonly interval: readonly [number, number] | null;
}

export function pairedDifferences(first: Numbers, second: Numbers): Float64Array {
  return Float64Array.from(first, (value, index) => value - second[index]!);
}

/** What rounding leaves of equal differences of values as large as one. */
const ROUNDING = 1e-12;

/** The difference, less what rounding leaves of equal means, where its standard error is but rounding; else undefined. */
export function withoutSpread(
  difference: number,
  standardError: number,
  largest: number,
): number | undefined {
  const rounding = ROUNDING * largest;
  if (standardError > rounding) return undefined;
  return Math.abs(difference) <= rounding ? 0 : difference;
}

/**
 * Values without a spread do not say how far chance moves them: statistic and p-value are then NaN, and there is no
 * interval. What rounding leaves of equal differences is no spread either, and what it leaves of equal means no difference.
 */
function tTest(
  difference: number,
  standardError: number,
  largest: number,
  df: number,
  count: number,
): TTestResult {
  const left = withoutSpread(difference, standardError, largest);
  if (left !== undefined) {
    return { statistic: Number.NaN, pValue: Number.NaN, df, count, difference: left, interval: null };
  }
  const statistic = difference / standardError;
  const half = studentQuantile(0.975, df) * standardError;
  return {
    statistic,
    pValue: studentTwoSided(statistic, df),
    df,
    count,
    difference,
    interval: [difference - half, difference + half],
  };
}

function largestOf(...samples: readonly Numbers[]): number {
  return samples.reduce(
    (largest, values) => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), largest),
    0,
  );
}

/** Student's t-test of the mean of first − second; NaN where all differences are equal. */
export function pairedTTest(first: Numbers, second: Numbers): TTestResult {
  requireSameLength(first, second, 'A paired t-test');
  requireValues(first, 2, 'A paired t-test');
  const differences = pairedDifferences(first, second);
  const n = differences.length;
  const standardError = Math.sqrt(variance(differences) / n);
  return tTest(mean(differences), standardError, largestOf(first, second), n - 1, n);
}

/** Welch's t-test: independent samples, unequal variances; NaN where neither sample has a spread. */
export function welchTTest(first: Numbers, second: Numbers): TTestResult {
  requireValues(first, 2, "Welch's t-test");
  requireValues(second, 2, "Welch's t-test");
  const a = variance(first) / first.length;
  const b = variance(second) / second.length;
  const df = (a + b) ** 2 / (a ** 2 / (first.length - 1) + b ** 2 / (second.length - 1));
  const count = first.length + second.length;
  return tTest(mean(first) - mean(second), Math.sqrt(a + b), largestOf(first, second), df, count);
}

/** Exact sign test; pairs without a difference are dropped. The statistic is the number of positive differences. */
export function signTest(first: Numbers, second: Numbers): TestResult {
  requireSameLength(first, second, 'A sign test');
  const differences = pairedDifferences(first, second).filter((difference) => difference !== 0);
  const positive = differences.filter((difference) => difference > 0).length;
  const n = differences.length;
  const tail = fairBinomialCdf(Math.min(positive, n - positive), n);
  return { statistic: positive, pValue: n === 0 ? 1 : Math.min(1, 2 * tail), count: n };
}

/** Up to this many differences the signed-rank distribution is summed exactly (ties included). */
const EXACT_RANKS = 50;

/**
 * Wilcoxon signed-rank test; zero differences are dropped. The statistic is the smaller of the two rank sums. Exact for
 * up to 50 differences, then normal with the correction for ties.
 */
export function wilcoxonSignedRank(first: Numbers, second: Numbers): TestResult {
  requireSameLength(first, second, 'A signed-rank test');
  const differences = pairedDifferences(first, second).filter((difference) => difference !== 0);
  const n = differences.length;
  if (n === 0) return { statistic: 0, pValue: 1, count: 0 };
  const ranks = rankWithTies(differences.map(Math.abs));
  const total = (n * (n + 1)) / 2;
  let positive = 0;
  for (let i = 0; i < n; i++) if (differences[i]! > 0) positive += ranks[i]!;
  const statistic = Math.min(positive, total - positive);
  if (n <= EXACT_RANKS) {
    return { statistic, pValue: Math.min(1, 2 * signedRankCdf(statistic, ranks)), count: n };
  }
  const squares = ranks.reduce((sum, rank) => sum + rank * rank, 0); // Σ rank², which carries the ties
  return { statistic, pValue: normalTwoSided((statistic - total / 2) / Math.sqrt(squares / 4)), count: n };
}

/** P(W ≤ w) when each rank counts with probability ½; midranks are whole numbers once doubled. */
function signedRankCdf(w: number, ranks: Float64Array): number {
  let distribution = new Float64Array([1]);
  for (const rank of ranks) {
    const shift = Math.round(2 * rank);
    const next = new Float64Array(distribution.length + shift);
    for (let i = 0; i < distribution.length; i++) {
      next[i] = next[i]! + distribution[i]! / 2;
      next[i + shift] = next[i + shift]! + distribution[i]! / 2;
    }
    distribution = next;
  }
  let total = 0;
  for (let i = 0; i <= Math.round(2 * w); i++) total += distribution[i]!;
  return total;
}

export interface PermutationOptions {
  readonly seed?: number | string;
  /** Random permutations when there are too many to list. Default 10,000. */
  readonly permutations?: number;
}

/**
 * Paired permutation test of the mean difference: under no effect each sign is a coin toss. All 2ⁿ sign patterns up to
 * n = 14, random ones beyond (then p = (1 + hits)/(1 + draws), which is never zero).
 */
export function pairedPermutationTest(
  first: Numbers,
  second: Numbers,
  { seed = 0, permutations = 10_000 }: PermutationOptions = {},
): TestResult {
  requireSameLength(first, second, 'A paired permutation test');
  requireValues(first, 1, 'A paired permutation test');
  const differences = pairedDifferences(first, second);
  const n = differences.length;
  const statistic = mean(differences);
  const signedMean = (positive: (index: number) => boolean): number => {
    let total = 0;
    for (let i = 0; i < n; i++) total += positive(i) ? differences[i]! : -differences[i]!;
    return total / n;
  };
  const extreme = Math.abs(statistic) * (1 - 1e-12); // equal patterns must count although summed in another order
  if (n <= 14) {
    let hits = 0;
    for (let pattern = 0; pattern < 2 ** n; pattern++) {
      if (Math.abs(signedMean((index) => ((pattern >> index) & 1) === 1)) >= extreme) hits++;
    }
    return { statistic, pValue: hits / 2 ** n, count: n };
  }
  const stream = RandomStream.create(seed, 'paired-permutation');
  let hits = 0;
  for (let draw = 0; draw < permutations; draw++) {
    if (Math.abs(signedMean(() => stream.uniform() < 0.5)) >= extreme) hits++;
  }
  return { statistic, pValue: (1 + hits) / (1 + permutations), count: n };
}

/** Permutation test of the difference of two independent samples' means, with random re-labellings. */
export function permutationTest(
  first: Numbers,
  second: Numbers,
  { seed = 0, permutations = 10_000 }: PermutationOptions = {},
): TestResult {
  requireValues(first, 1, 'A permutation test');
  requireValues(second, 1, 'A permutation test');
  const pool = Float64Array.from([...Array.from(first), ...Array.from(second)]);
  const split = first.length;
  const statistic = mean(first) - mean(second);
  const extreme = Math.abs(statistic) * (1 - 1e-12);
  const stream = RandomStream.create(seed, 'permutation');
  let hits = 0;
  for (let draw = 0; draw < permutations; draw++) {
    stream.shuffle(pool);
    const difference = mean(pool.subarray(0, split)) - mean(pool.subarray(split));
    if (Math.abs(difference) >= extreme) hits++;
  }
  return { statistic, pValue: (1 + hits) / (1 + permutations), count: pool.length };
}

/** Holm's step-down adjustment: family-wise error over all the p-values. */
export function holm(pValues: readonly number[]): number[] {
  const order = ascending(pValues);
  const adjusted = new Array<number>(pValues.length);
  let running = 0;
  order.forEach((index, position) => {
    running = Math.max(running, (pValues.length - position) * pValues[index]!);
    adjusted[index] = Math.min(1, running);
  });
  return adjusted;
}

/** Benjamini–Hochberg adjustment: false discovery rate. */
export function benjaminiHochberg(pValues: readonly number[]): number[] {
  const order = ascending(pValues);
  const adjusted = new Array<number>(pValues.length);
  let running = 1;
  for (let position = order.length - 1; position >= 0; position--) {
    const index = order[position]!;
    running = Math.min(running, (pValues.length / (position + 1)) * pValues[index]!);
    adjusted[index] = running;
  }
  return adjusted;
}

function ascending(values: readonly number[]): number[] {
  return values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
}
