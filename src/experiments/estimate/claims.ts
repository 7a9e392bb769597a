import { type CorrelationKind, type Interval, mean } from '../../stats/index.ts';
import { verdictOn } from '../shared/claims.ts';
import type { EstimateCorrelation, EstimatePoint, EstimateReport, Estimator } from './contract.ts';

/** What the paper says of Figure 3, held against a run, and how far the estimate is from the truth. */
export function estimateClaims(
  points: readonly EstimatePoint[],
  correlations: readonly EstimateCorrelation[],
): Pick<EstimateReport, 'claims' | 'findings'> {
  const find = (estimator: Estimator, kind: CorrelationKind): Interval =>
    correlations.find((one) => one.estimator === estimator && one.kind === kind)!.interval;
  const show = ({ estimate, low, high }: Interval): string =>
    `${estimate.toFixed(3)} (95 % interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
  const [drawn, model] = [find('drawn', 'spearman'), find('model', 'spearman')];
  const [widest, sharpest] = [points[0]!, points.at(-1)!];
  const truth = mean(points.map(({ negLogPhi }) => negLogPhi));
  return {
    claims: [
      {
        claim: 'The estimate follows the true −log φ (Figure 3)',
        paper: 'rises with it',
        ours: `rank correlation ${show(drawn)} from drawn rankings, ${show(model)} from the model’s own entropies`,
        verdict: verdictOn(true, drawn.low > 0.9 && model.low > 0.9),
        note: 'The paper’s way from rankings to entropies is not stated; ours is.',
      },
    ],
    findings: [
      `Pearson's correlation is ${show(find('drawn', 'pearson'))} from drawn rankings and ${show(find('model', 'pearson'))} from the model.`,
      `The estimate is a monotone stand-in, not a multiple of −log φ: on the same scale (mean 1) it runs from ${widest.drawn.mean.toFixed(2)} to ${sharpest.drawn.mean.toFixed(2)} (drawn) and ${widest.model.toFixed(2)} to ${sharpest.model.toFixed(2)} (model), the truth from ${(widest.negLogPhi / truth).toFixed(2)} to ${(sharpest.negLogPhi / truth).toFixed(2)}. The model's estimate does not reach 0 where every order is as likely, because a ranking's last tokens are sure whatever φ is.`,
    ],
  };
}
