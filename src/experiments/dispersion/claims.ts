import { type Interval, quantiles, RandomStream, standardDeviation } from '../../stats/index.ts';
import { type Claim, verdictOn } from '../shared/claims.ts';
import type { DispersionOfData } from './contract.ts';

const RESAMPLES = 2000;

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
      verdict: verdictOn(imdb.shape.count >= ENOUGH, imdb.shape.within >= 0.9),
      note: 'Counted as reproduced when at least 90 % lie there.',
    });
  }
  if (hh !== undefined) {
    const { peak, quantiles: q, skew } = hh.shape;
    claims.push({
      claim: 'On HH, w peaks near .97 and has a right tail to 1.4 (Figure 1)',
      paper: 'peak ≈ .97, tail to 1.4',
      ours: `peak ${peak.toFixed(2)}, 99 % quantile ${q[4].toFixed(2)}, skew ${show(skew)}`,
      verdict: verdictOn(hh.shape.count >= ENOUGH, skew.low > 0 && Math.abs(peak - 0.97) < 0.05),
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
      verdict: verdictOn(enough, difference.low > 0),
    });
    claims.push({
      claim: 'w is more skewed on HH than on IMDB',
      paper: 'skewed on HH',
      ours: `skew ${show(hh.shape.skew)} on HH, ${show(imdb.shape.skew)} on IMDB`,
      verdict: verdictOn(enough, hh.shape.skew.low > Math.max(0, imdb.shape.skew.high)),
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
