import {
  bootstrap,
  bootstrapIndices,
  correlate,
  histogram,
  type Interval,
  quantiles,
  RandomStream,
  skewness,
  spearman,
  standardDeviation,
} from '../stats/index.ts';
import { type Claim, judge } from './claims.ts';
import type { DispersionOfData } from './dispersion.ts';

/** How w is distributed over a data set. */
export interface Shape {
  readonly count: number;
  readonly sd: Interval;
  readonly skew: Interval;
  /** Middle of the fullest of 40 bins. */
  readonly peak: number;
  /** 1 %, 5 %, 50 %, 95 % and 99 % quantiles. */
  readonly quantiles: readonly [number, number, number, number, number];
  /** Share of rows with w in [.8, 1.2]. */
  readonly within: number;
}

/** w beside what annotators said. Spearman's rank correlation with 95 % bootstrap intervals over rows. */
export interface Agreement {
  readonly count: number;
  /** With the share of annotator pairs that gave the same verdict. */
  readonly withAgreement: Interval;
  /** With |log odds| of the votes (half a vote added to each side): how clearly one answer won. */
  readonly withDecidedness: Interval;
  /** With the mean length of the two answers in tokens, which a correlation with agreement may come from. */
  readonly withLength: Interval;
  /** With agreement at equal length: Spearman's partial correlation. */
  readonly withAgreementAtLength: Interval;
  /** Rows and mean w by agreement. */
  readonly levels: readonly { readonly agreement: number; readonly rows: number; readonly mean: number }[];
}

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

/** Fewer rows say nothing about tails. */
const ENOUGH = 200;

/** The paper's statements about IMDB and HH, and what the other data show. */
export function dispersionClaims(data: readonly DispersionOfData[]): {
  claims: Claim[];
  findings: string[];
} {
  const imdb = data.find(({ kind }) => kind === 'reviews');
  const hh = data.find(({ format }) => format === 'hh');
  const claims: Claim[] = [];
  if (imdb !== undefined) {
    const [, low, , high] = imdb.shape.quantiles;
    claims.push({
      claim: 'On IMDB, w is concentrated in about .8 to 1.2 (Figure 1)',
      paper: '.8 to 1.2',
      ours: `${percent(imdb.shape.within)} of ${imdb.shape.count} reviews; the middle 90 % lie in ${low.toFixed(2)} to ${high.toFixed(2)}`,
      verdict: judge(imdb.shape.count >= ENOUGH, imdb.shape.within >= 0.9),
      note: 'Counted as reproduced when at least 90 % lie there.',
    });
  }
  if (hh !== undefined) {
    const { peak, quantiles: q, skew } = hh.shape;
    claims.push({
      claim: 'On HH, w peaks near .97 and has a right tail to 1.4 (Figure 1)',
      paper: 'peak ≈ .97, tail to 1.4',
      ours: `peak ${peak.toFixed(2)}, 99 % quantile ${q[4].toFixed(2)}, skew ${show(skew)}`,
      verdict: judge(hh.shape.count >= ENOUGH, skew.low > 0 && Math.abs(peak - 0.97) < 0.05),
      note: 'Counted as reproduced when the skew’s interval is above 0 and the peak within .05 of the paper’s.',
    });
  }
  if (imdb !== undefined && hh !== undefined) {
    const difference = sdDifference(hh.weights, imdb.weights);
    const enough = Math.min(imdb.shape.count, hh.shape.count) >= ENOUGH;
    claims.push({
      claim: 'w varies more on HH than on IMDB',
      paper: 'larger variance on HH',
      ours: `sd ${show(hh.shape.sd)} on HH, ${show(imdb.shape.sd)} on IMDB; difference ${show(difference)}`,
      verdict: judge(enough, difference.low > 0),
    });
    claims.push({
      claim: 'w is more skewed on HH than on IMDB',
      paper: 'skewed on HH',
      ours: `skew ${show(hh.shape.skew)} on HH, ${show(imdb.shape.skew)} on IMDB`,
      verdict: judge(enough, hh.shape.skew.low > Math.max(0, imdb.shape.skew.high)),
    });
  }
  return { claims, findings: data.flatMap(findings) };
}

function findings({ label, agreement }: DispersionOfData): string[] {
  if (agreement === undefined) return [];
  const { withAgreement, withDecidedness, withLength, withAgreementAtLength, count } = agreement;
  const relation =
    withAgreement.low > 0
      ? 'where w says that people agree, they do agree more'
      : withAgreement.high < 0
        ? 'where w says that people agree, they agree less'
        : 'w is not shown to have to do with how far people agree';
  return [
    `${label}: over ${count} pairs judged by people, ${relation}. Spearman’s correlation of w is ${show(withAgreement)} with the annotators’ agreement, ${show(withDecidedness)} with how clearly one answer won, and ${show(withLength)} with the answers’ length; with agreement at equal length it is ${show(withAgreementAtLength)}.`,
  ];
}

/** sd(first) − sd(second) of two independent samples, with a 95 % bootstrap interval. */
function sdDifference(
  first: readonly number[],
  second: readonly number[],
): Pick<Interval, 'estimate' | 'low' | 'high'> {
  const stream = RandomStream.create(0, 'sd-difference');
  const resample = (values: readonly number[]) =>
    standardDeviation(Float64Array.from(values, () => values[stream.integer(values.length)]!));
  const draws = Array.from({ length: RESAMPLES }, () => resample(first) - resample(second));
  const [low, high] = quantiles(draws, [0.025, 0.975]);
  return { estimate: standardDeviation(first) - standardDeviation(second), low: low!, high: high! };
}

function show({ estimate, low, high }: Pick<Interval, 'estimate' | 'low' | 'high'>): string {
  return `${estimate.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
