import { type BootstrapOptions, bootstrapIndices, type Interval } from './bootstrap.ts';
import { mean, type Numbers, requireSameLength, requireValues } from './summary.ts';

export type CorrelationKind = 'pearson' | 'spearman' | 'kendall';

/** Ranks from 1; equal values share the mean of their ranks. */
export function rankWithTies(values: Numbers): Float64Array {
  const order = Array.from(values, (_, index) => index).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2;
    start = end;
  }
  return ranks;
}

/** Pearson's product-moment correlation; NaN when either side has no spread. */
export function pearson(x: Numbers, y: Numbers): number {
  requireSameLength(x, y, 'A correlation');
  const meanX = mean(x);
  const meanY = mean(y);
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < x.length; i++) {
    const dx = x[i]! - meanX;
    const dy = y[i]! - meanY;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xy / Math.sqrt(xx * yy);
}

/** Spearman's rank correlation, ties by midranks. */
export function spearman(x: Numbers, y: Numbers): number {
  requireSameLength(x, y, 'A rank correlation');
  return pearson(rankWithTies(x), rankWithTies(y));
}

/** Kendall's τ-b, which allows for ties on either side. O(n²). */
export function kendall(x: Numbers, y: Numbers): number {
  requireSameLength(x, y, 'A rank correlation');
  let balance = 0;
  let untiedX = 0;
  let untiedY = 0;
  for (let i = 1; i < x.length; i++) {
    for (let j = 0; j < i; j++) {
      const signX = Math.sign(x[i]! - x[j]!);
      const signY = Math.sign(y[i]! - y[j]!);
      balance += signX * signY;
      untiedX += signX * signX;
      untiedY += signY * signY;
    }
  }
  return balance / Math.sqrt(untiedX * untiedY);
}

const CORRELATIONS = { pearson, spearman, kendall } satisfies Record<CorrelationKind, unknown>;

/** A correlation with a bootstrap interval over the (x, y) observations. */
export function correlate(
  kind: CorrelationKind,
  x: Numbers,
  y: Numbers,
  options: BootstrapOptions = {},
): Interval {
  requireSameLength(x, y, 'A correlation');
  requireValues(x, 3, 'A correlation');
  const correlation = CORRELATIONS[kind];
  const sampleX = new Float64Array(x.length);
  const sampleY = new Float64Array(x.length);
  return bootstrapIndices(
    x.length,
    (indices) => {
      const n = indices.length; // the jackknife of BCa leaves one out
      for (let i = 0; i < n; i++) {
        sampleX[i] = x[indices[i]!]!;
        sampleY[i] = y[indices[i]!]!;
      }
      return correlation(sampleX.subarray(0, n), sampleY.subarray(0, n));
    },
    options,
  );
}
