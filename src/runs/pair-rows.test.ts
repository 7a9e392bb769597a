import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type PairEvaluationRow, pairRowSteps, readPairRows, writePairRows } from './index.ts';

it('keeps the pairs of each evaluation by step', () => {
  const run = mkdtempSync(join(tmpdir(), 'mallows-pairs-'));
  expect(pairRowSteps(run)).toEqual([]);
  expect(() => readPairRows(run)).toThrow(/has no evaluation/);
  const row: PairEvaluationRow = { id: 'x', loss: 0.5, margin: 1.5, accurate: 1, chosenLogRatio: -0.25 };
  writePairRows(run, 10, [{ ...row, id: 'y' }]);
  writePairRows(run, 9, [row]);
  expect(pairRowSteps(run)).toEqual([9, 10]);
  expect(readPairRows(run)).toEqual([{ ...row, id: 'y' }]);
  expect(readPairRows(run, 9)).toEqual([row]);
  expect(() => readPairRows(run, 8)).toThrow(/at step 8/);
});
