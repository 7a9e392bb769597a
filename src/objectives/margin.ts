import { DataError } from '../errors.ts';
import { standardDeviation } from '../stats/summary.ts';
import type { PairBatch, ScoreGapNeed } from './contract.ts';

/** What a margin may look at: the batch, and the objective's β. */
export interface MarginContext {
  readonly batch: PairBatch;
  readonly beta: number;
}

/** Margins of a batch in score units, with their slopes where they depend on the policy. */
export interface MarginValues {
  readonly values: Float64Array;
  /** ∂values/∂chosen.logps; absent when margins carry no gradient. */
  readonly chosenSlopes?: Float64Array;
}

/** By how much the chosen score must lead before a pair counts as won: z = wβ(gap − m). */
export interface Margin {
  readonly name: string;
  readonly needsReference: boolean;
  /** Whether a pair's margin depends on which pairs are beside it. */
  readonly batchWide: boolean;
  /** Absent: needs no score gaps. */
  readonly needsScoreGaps?: ScoreGapNeed;
  evaluate(context: MarginContext): MarginValues;
}

/** The same lead for every pair (SimPO's γ/β; a home advantage when negative). */
export function constantMargin(lead: number): Margin {
  return {
    name: 'constant',
    needsReference: false,
    batchWide: false,
    evaluate: ({ batch }) => ({ values: new Float64Array(batch.chosen.logps.length).fill(lead) }),
  };
}

/** ODPO (Amini et al. 2024): βΔ must exceed α f(score gap), so m = α f(score gap)/β. */
export function scoreGapMargin(alpha: number, transform: 'log' | 'linear'): Margin {
  return {
    name: 'score-gap',
    needsReference: false,
    batchWide: false,
    needsScoreGaps: transform === 'log' ? 'positive' : 'finite',
    evaluate: ({ batch: { scoreGaps }, beta }) => {
      if (scoreGaps === undefined) throw missingScoreGap('the batch has none');
      const values = scoreGaps.map((gap, pair) => {
        if (!Number.isFinite(gap)) throw missingScoreGap(`pair ${pair} of the batch has ${gap}`);
        if (transform === 'linear') return (alpha * gap) / beta;
        if (gap > 0) return (alpha * Math.log(gap)) / beta;
        throw new DataError(
          'score-gap-not-positive',
          `Pair ${pair} of the batch has a score gap of ${gap}; its logarithm needs one above 0.`,
          { hint: "Leave out tied pairs, or set offset: 'linear'." },
        );
      });
      return { values };
    },
  };
}

function missingScoreGap(what: string): DataError {
  return new DataError('missing-score-gaps', `The objective needs a score gap for each pair; ${what}.`, {
    hint: 'Use data whose completions carry scores, or another objective.',
  });
}

/** The log-ratio gaps per token of a batch. */
function tokenLogRatioGaps({ chosen, rejected }: PairBatch): Float64Array {
  return chosen.logps.map(
    (logp, i) =>
      (logp - chosen.referenceLogps![i]!) / chosen.tokens[i]! -
      (rejected.logps[i]! - rejected.referenceLogps![i]!) / rejected.tokens[i]!,
  );
}

/**
 * Nats a token. Where training starts, policy and reference differ by rounding alone, which z-scores would blow up to
 * margins. It is of one size per token, however long completions are: a standard deviation of 2e-6 in fp32 and 1.5e-5 in
 * bf16 between rows packed in two ways (SmolLM2-135M).
 */
const ROUNDING_SPREAD = 1e-4;

/**
 * AlphaDPO (Wu et al. 2024): γ/β + α·zscore of the per-token log-ratio gaps over the batch; no gradient flows through.
 * A batch without a spread beyond rounding has z-scores of 0, a batch of one pair among them.
 */
export function standardizedMargin(lead: number, alpha: number): Margin {
  return {
    name: 'standardized-log-ratio',
    needsReference: true,
    batchWide: alpha !== 0,
    evaluate: ({ batch }) => {
      const gaps = tokenLogRatioGaps(batch);
      const centre = gaps.reduce((total, gap) => total + gap, 0) / gaps.length;
      const spread = standardDeviation(gaps, 0);
      const factor = spread < ROUNDING_SPREAD ? 0 : alpha / spread;
      return { values: gaps.map((gap) => lead + factor * (gap - centre)) };
    },
  };
}

/** DPOP (Pal et al. 2024): λ max(0, −a_w), a penalty once the chosen completion has lost probability. */
export function chosenDropMargin(lambda: number): Margin {
  return {
    name: 'chosen-drop',
    needsReference: true,
    batchWide: false,
    evaluate: ({ batch: { chosen } }) => {
      const drops = chosen.logps.map((logp, i) => chosen.referenceLogps![i]! - logp);
      return {
        values: drops.map((drop) => lambda * Math.max(0, drop)),
        chosenSlopes: drops.map((drop) => (drop > 0 ? -lambda : 0)),
      };
    },
  };
}
