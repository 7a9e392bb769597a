import { describe, expect, it } from 'vitest';
import { createObjective, objectiveNames, requireScoreGaps, type ScoreGapRow } from './index.ts';

const at = (line: number) => ({ file: 'pairs.jsonl', line });
const rows: ScoreGapRow[] = [
  { id: 'clear', at: at(1), scoreGap: 2 },
  { id: 'tied', at: at(2), scoreGap: 0 },
  { id: 'turned', at: at(3), scoreGap: -1 },
];
const log = createObjective({ name: 'odpo' });
const linear = createObjective({ name: 'odpo', offset: 'linear' });

describe('score gaps', () => {
  it('are needed by ODPO alone', () => {
    const needing = objectiveNames.filter((name) => createObjective({ name }).needsScoreGaps !== undefined);
    expect(needing).toEqual(['odpo']);
    expect(() => requireScoreGaps(createObjective({ name: 'dpo' }), [{ id: 'bare' }])).not.toThrow();
  });

  it('must be above 0 for the logarithm; rows are named, with file and line', () => {
    expect(() => requireScoreGaps(log, rows.slice(0, 1))).not.toThrow();
    expect(() => requireScoreGaps(log, rows)).toThrowError(
      expect.objectContaining({
        code: 'score-gap-not-positive',
        message: expect.stringMatching(
          /^2 pairs have .*: 'tied' \(pairs\.jsonl:2\), 'turned' \(pairs\.jsonl:3\)\.$/,
        ),
        hint: expect.stringContaining("offset: 'linear'"),
        at: at(2),
      }),
    );
  });

  it('may be any number for the linear offset', () => {
    expect(() => requireScoreGaps(linear, rows)).not.toThrow();
  });

  it.each([log, linear])('must be there: the one row without is named (%#)', (objective) => {
    const most = Array.from({ length: 1000 }, (_, i) => ({ id: `row-${i}`, scoreGap: 1 }));
    for (const missing of [{ id: 'bare' }, { id: 'bare', scoreGap: Number.NaN }]) {
      expect(() => requireScoreGaps(objective, [...most, missing])).toThrowError(
        expect.objectContaining({
          code: 'missing-score-gaps',
          message: expect.stringMatching(/^1 pair has no scores .*: 'bare'\.$/),
        }),
      );
    }
  });
});
