import {
  bootstrap,
  bootstrapIndices,
  correlate,
  histogram,
  type Interval,
  quantiles,
  skewness,
  spearman,
  standardDeviation,
} from '../../stats/index.ts';
import type { Agreement, Shape } from './contract.ts';

const RESAMPLES = 2000;

export function shapeOf(weights: readonly number[], seed: number): Shape {
  const [low, fifth, median, upper, high] = quantiles(weights, [0.01, 0.05, 0.5, 0.95, 0.99]);
  const peak = histogram(weights, 40).reduce((best, bin) => (bin.count > best.count ? bin : best));
  return {
    count: weights.length,
    sd: bootstrap(weights, { seed, resamples: RESAMPLES, statistic: standardDeviation }),
    skew: bootstrap(weights, { seed, resamples: RESAMPLES, statistic: skewness }),
    peak: (peak.low + peak.high) / 2,
    quantiles: [low!, fifth!, median!, upper!, high!],
    within: weights.filter((w) => w >= 0.8 && w <= 1.2).length / weights.length,
  };
}

interface Counts {
  readonly first: number;
  readonly second: number;
  readonly tie: number;
}

/** Share of annotator pairs that agree on first, second or tie; 1 for a single annotator. */
export function annotatorAgreement({ first, second, tie }: Counts): number {
  const all = first + second + tie;
  const pairs = (count: number) => (count * (count - 1)) / 2;
  return all < 2 ? 1 : (pairs(first) + pairs(second) + pairs(tie)) / pairs(all);
}

export function agreementWith(
  weights: readonly number[],
  votes: readonly Counts[],
  lengths: readonly number[],
  seed: number,
): Agreement {
  const agreement = votes.map(annotatorAgreement);
  const decided = votes.map(({ first, second, tie }) =>
    Math.abs(Math.log((first + tie / 2 + 0.5) / (second + tie / 2 + 0.5))),
  );
  const rank = (values: readonly number[]) =>
    correlate('spearman', weights, values, { seed, resamples: RESAMPLES });
  const values = [...new Set(agreement)].sort((a, b) => b - a);
  return {
    count: weights.length,
    withAgreement: rank(agreement),
    withDecidedness: rank(decided),
    withLength: rank(lengths),
    withAgreementAtLength: partialRank(weights, agreement, lengths, seed),
    levels: values.map((value) => {
      const own = weights.filter((_, index) => agreement[index] === value);
      return { agreement: value, rows: own.length, mean: own.reduce((sum, w) => sum + w, 0) / own.length };
    }),
  };
}

/** Rank correlation of x and y with the part that z explains taken out of both. */
function partialRank(
  x: readonly number[],
  y: readonly number[],
  z: readonly number[],
  seed: number,
): Interval {
  return bootstrapIndices(
    x.length,
    (indices) => {
      const take = (values: readonly number[]) => Float64Array.from(indices, (index) => values[index]!);
      const [a, b, c] = [take(x), take(y), take(z)];
      const [ab, ac, bc] = [spearman(a, b), spearman(a, c), spearman(b, c)];
      return (ab - ac * bc) / Math.sqrt((1 - ac * ac) * (1 - bc * bc));
    },
    { seed, resamples: RESAMPLES },
  );
}
