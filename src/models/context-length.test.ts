import { expect, it } from 'vitest';
import { contextNotice } from './context-length.ts';

it('counts what is longer than the context, where the model itself would not complain', () => {
  const rotary = { maxPositions: 512, learnedPositions: false };
  expect(contextNotice([512, 3], 'rows', rotary)).toBeUndefined();
  expect(contextNotice([513, 3, 900], 'rows', rotary)).toMatch(
    /^2 of 3 rows are longer than the 512 tokens .*longest has 900/,
  );
  expect(contextNotice([513], 'rows', { ...rotary, learnedPositions: true })).toBeUndefined();
});
