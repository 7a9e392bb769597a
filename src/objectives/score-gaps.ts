import type { Objective } from './contract.ts';
import { type NamedRow, rejectRows } from './rows.ts';

/** What is known about the ratings of one pair. */
export interface ScoreGapRow extends NamedRow {
  /** Rating of the chosen completion minus that of the rejected one, where the data states both. */
  readonly scoreGap?: number;
}

/**
 * Rejects rows whose score gap the objective cannot use, before any work is done on them. Throws a `DataError` that
 * names them; objectives that need no score gaps accept every row.
 */
export function requireScoreGaps(
  { name, needsScoreGaps }: Pick<Objective, 'name' | 'needsScoreGaps'>,
  rows: readonly ScoreGapRow[],
): void {
  if (needsScoreGaps === undefined) return;
  rejectRows(
    rows.filter(({ scoreGap }) => scoreGap === undefined || !Number.isFinite(scoreGap)),
    'missing-score-gaps',
    `no scores of both completions, which '${name}' compares`,
    'Give every row `score_chosen` and `score_rejected`, or choose another objective.',
  );
  if (needsScoreGaps === 'finite') return;
  rejectRows(
    rows.filter(({ scoreGap }) => scoreGap! <= 0),
    'score-gap-not-positive',
    `a chosen score that is not above the rejected one, as '${name}' expects for the logarithm of their gap`,
    "Leave out tied pairs, or set offset: 'linear'.",
  );
}
