import { UsageError } from '../errors.ts';
import type { CompletionBatch, ExtraStatistic, Objective, PairBatch } from './contract.ts';
import type { Link } from './links.ts';
import type { Margin } from './margin.ts';
import { constantScale, type PairWeights, type Scale } from './scale.ts';
import type { Score } from './score.ts';
import type { Term } from './terms.ts';

/**
 * A pairwise objective as a choice on independent axes:
 *   gap = score(chosen) − λ·score(rejected),   z = w·β·(gap − margin),   loss = weight·link(z) + terms.
 */
export interface Composition {
  readonly name: string;
  /** Factor of the implicit rewards in the metrics, and of z unless `scale` says otherwise. */
  readonly beta: number;
  readonly score: Score;
  /** λ above. Default 1. */
  readonly rejectedFactor?: number;
  readonly margin?: Margin;
  readonly scale?: Scale;
  readonly link: Link;
  readonly weights?: PairWeights;
  readonly terms?: readonly Term[];
  /** Where w(x) enters: it multiplies z, or it is the link's t = −log φ, or it is left out (default). */
  readonly dispersionEnters?: 'none' | 'scale' | 'link';
}

function requireReference(side: CompletionBatch, name: string): void {
  if (side.referenceLogps !== undefined) return;
  throw new UsageError(
    'missing-reference',
    `Objective '${name}' compares the policy with a reference; the batch has no reference log-probabilities.`,
    { hint: 'Run the reference pass first, or choose a reference-free objective such as simpo.' },
  );
}

function requireExtras(side: CompletionBatch, name: string, extras: readonly ExtraStatistic[]): void {
  for (const extra of extras) {
    if (side.extras?.[extra] === undefined) {
      throw new UsageError('missing-statistic', `Objective '${name}' needs '${extra}' for each completion.`, {
        hint: "Compute the statistics that the objective's `extras` names.",
      });
    }
  }
}

function requireSameSize(batch: PairBatch, name: string): void {
  const { chosen, rejected, w, scoreGaps } = batch;
  const count = chosen.logps.length;
  const sizes = {
    'chosen.logps': count,
    'chosen.referenceLogps': chosen.referenceLogps?.length,
    'chosen.tokens': chosen.tokens.length,
    'rejected.logps': rejected.logps.length,
    'rejected.referenceLogps': rejected.referenceLogps?.length,
    'rejected.tokens': rejected.tokens.length,
    w: w?.length,
    scoreGaps: scoreGaps?.length,
  };
  const wrong = Object.entries(sizes).filter(([, size]) => size !== undefined && size !== count);
  if (wrong.length === 0) return;
  throw new UsageError(
    'batch-sizes',
    `Objective '${name}' received ${count} chosen log-probabilities but ${wrong.map(([key, size]) => `${size} ${key}`).join(', ')}.`,
    { hint: 'Give one entry a pair in every array.' },
  );
}

function scoreAll(score: Score, side: CompletionBatch, from: (typeof score)['value']): Float64Array {
  return side.logps.map((logp, i) => from(logp, side.referenceLogps?.[i] ?? 0, side.tokens[i]!));
}

/** Builds the objective of a composition. Slopes are analytic; margins, β and weights carry no gradient unless they say so. */
export function compose(composition: Composition): Objective {
  const { name, beta, score, rejectedFactor = 1, margin, link, weights, terms = [] } = composition;
  const { dispersionEnters = 'none' } = composition;
  const scale = composition.scale ?? constantScale(beta);
  const needsReference =
    score.needsReference || margin?.needsReference === true || terms.some((term) => term.needsReference);
  const extras = weights?.extras ?? [];

  const gapsOf = ({ chosen, rejected }: PairBatch): Float64Array => {
    const rejectedScores = scoreAll(score, rejected, score.value);
    return scoreAll(score, chosen, score.value).map(
      (value, i) => value - rejectedFactor * rejectedScores[i]!,
    );
  };

  const evaluate: Objective['evaluate'] = (batch) => {
    const { chosen, rejected } = batch;
    requireSameSize(batch, name);
    for (const side of [chosen, rejected]) {
      if (needsReference) requireReference(side, name);
      requireExtras(side, name, extras);
    }
    const count = chosen.logps.length;
    const gaps = gapsOf(batch);
    const chosenSlopes = scoreAll(score, chosen, score.slope);
    const rejectedSlopes = scoreAll(score, rejected, score.slope);
    const margins = margin?.evaluate({ batch, beta });
    const factor = scale.beta(gaps);
    const pairWeights = weights?.evaluate(batch);
    const losses = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const w = batch.w?.[i] ?? 1;
      const t = dispersionEnters === 'link' ? w : 1;
      const stretch = dispersionEnters === 'scale' ? w * factor : factor;
      const z = stretch * (gaps[i]! - (margins?.values[i] ?? 0));
      const weight = pairWeights?.[i] ?? 1;
      losses[i] = weight * link.loss(z, t);
      const slope = weight * link.slope(z, t) * stretch; // ∂loss/∂gap
      chosenSlopes[i] = slope * (chosenSlopes[i]! - (margins?.chosenSlopes?.[i] ?? 0));
      rejectedSlopes[i] = -slope * rejectedFactor * rejectedSlopes[i]!;
    }
    const result = {
      losses,
      chosenSlopes,
      rejectedSlopes,
      chosenRewards: scoreAll(score, chosen, score.value).map((value) => beta * value),
      rejectedRewards: scoreAll(score, rejected, score.value).map((value) => beta * value),
    };
    for (const term of terms) term.addTo(result, batch);
    return result;
  };

  return {
    name,
    needsReference,
    usesDispersion: dispersionEnters !== 'none',
    extras,
    batchWide: scale.batchWide || margin?.batchWide === true,
    evaluate,
    ...(margin?.needsScoreGaps && { needsScoreGaps: margin.needsScoreGaps }),
    ...(scale.advance && { advance: (batch: PairBatch) => scale.advance?.(gapsOf(batch)) }),
    ...(scale.state && { state: scale.state }),
    ...(scale.restore && { restore: scale.restore }),
  };
}
