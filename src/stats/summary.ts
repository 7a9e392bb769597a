import { DataError } from '../errors.ts';

/** Any array of numbers: plain or typed. */
export type Numbers = ArrayLike<number>;

export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** Sample standard deviation (n − 1); NaN for one value. */
  readonly sd: number;
  /** Adjusted Fisher–Pearson skewness G₁; NaN for fewer than three values or no spread. */
  readonly skew: number;
  readonly min: number;
  readonly max: number;
}

export function requireValues(values: Numbers, least: number, what: string): void {
  if (values.length < least) {
    throw new DataError(
      'too-few-values',
      `${what} needs at least ${least} values, received ${values.length}.`,
      {
        hint: 'Give more observations, or leave this statistic out.',
      },
    );
  }
}

export function requireSameLength(first: ArrayLike<unknown>, second: ArrayLike<unknown>, what: string): void {
  if (first.length !== second.length) {
    throw new DataError(
      'unequal-lengths',
      `${what} compares values pair by pair: received ${first.length} and ${second.length} values.`,
      { hint: 'Give two arrays of the same length, in the same order.' },
    );
  }
}

/** Compensated (Neumaier) sum: the last bits do not depend on the magnitude of what came before. */
export function sum(values: Numbers): number {
  let total = 0;
  let compensation = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const next = total + value;
    compensation += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total;
    total = next;
  }
  return Number.isFinite(total) ? total + compensation : total; // ∞ − ∞ in the compensation would turn ∞ into NaN
}

/** Mean of the values; NaN for none. */
export function mean(values: Numbers): number {
  return sum(values) / values.length;
}

function centralMoment(values: Numbers, centre: number, power: number): number {
  return mean(Float64Array.from(values, (value) => (value - centre) ** power));
}

/** Variance with divisor n − `ddof`. */
export function variance(values: Numbers, ddof = 1): number {
  return (centralMoment(values, mean(values), 2) * values.length) / (values.length - ddof);
}

/** Standard deviation with divisor n − `ddof`. */
export function standardDeviation(values: Numbers, ddof = 1): number {
  return Math.sqrt(variance(values, ddof));
}

/** Adjusted Fisher–Pearson skewness G₁ (scipy's `skew(bias=False)`). */
export function skewness(values: Numbers): number {
  const n = values.length;
  const centre = mean(values);
  const moment2 = centralMoment(values, centre, 2);
  if (n < 3 || moment2 === 0) return Number.NaN;
  const biased = centralMoment(values, centre, 3) / moment2 ** 1.5;
  return (biased * Math.sqrt(n * (n - 1))) / (n - 2);
}

/** Quantile of values that are sorted already, linear between order statistics (numpy's default, type 7). */
export function sortedQuantile(sorted: Numbers, probability: number): number {
  const position = (sorted.length - 1) * probability;
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN;
  return low + (high - low) * (position - below);
}

/** Quantiles of unsorted values, linear between order statistics. */
export function quantiles(values: Numbers, probabilities: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return probabilities.map((probability) => sortedQuantile(sorted, probability));
}

export function summarize(values: Numbers): Summary {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    min = Math.min(min, values[i]!);
    max = Math.max(max, values[i]!);
  }
  return {
    count: values.length,
    mean: mean(values),
    sd: standardDeviation(values),
    skew: skewness(values),
    min,
    max,
  };
}

export interface HistogramBin {
  readonly low: number;
  /** Exclusive, but for the last bin. */
  readonly high: number;
  readonly count: number;
  /** Count / (total · width): areas sum to one. */
  readonly density: number;
}

/**
 * Equal-width bins over `range` (default: the data's). Values outside the range are not counted in any bin; compare the
 * sum of counts with the number of values to see them.
 */
export function histogram(values: Numbers, bins = 40, range?: readonly [number, number]): HistogramBin[] {
  requireValues(values, 1, 'A histogram');
  const { min, max } = summarize(values);
  const [low, high] = range ?? (min === max ? [min - 0.5, max + 0.5] : [min, max]);
  const width = (high - low) / bins;
  const counts = new Float64Array(bins);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(value >= low && value <= high)) continue;
    const bin = Math.min(Math.floor((value - low) / width), bins - 1);
    counts[bin] = counts[bin]! + 1;
  }
  return Array.from(counts, (count, bin) => ({
    low: low + bin * width,
    high: bin === bins - 1 ? high : low + (bin + 1) * width,
    count,
    density: count / (values.length * width),
  }));
}

/** 1 when a beats b, ½ for a tie: the mean over pairs is the share of wins. */
export function win(a: number, b: number): 0 | 0.5 | 1 {
  const margin = a - b;
  return margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
}
