import { describe, expect, it } from 'vitest';
import { createObjective, objectiveNames, requireUpdateSize, updateSizeProblems } from './index.ts';

const keys = (...args: Parameters<typeof updateSizeProblems>) =>
  updateSizeProblems(...args).map(({ key }) => key);

describe.each(['beta-dpo', 'alpha-dpo'])('the size of an update under %s', (name) => {
  const objective = createObjective({ name });

  it('is a number of pairs that go through the network together', () => {
    expect(keys(objective, {})).toEqual([]);
    expect(keys(objective, { pairs: 2, accumulate: 1 })).toEqual([]);
  });

  it('must not be split, nor come down to single pairs', () => {
    expect(keys(objective, { pairs: 8, accumulate: 2 })).toEqual(['accumulate']);
    expect(keys(objective, { pairs: 1 })).toEqual(['pairs']);
    expect(keys(objective, { tokens: 4096 })).toEqual(['tokens']);
  });

  it('is an error that says everything that is wrong with it', () => {
    expect(() => requireUpdateSize(objective, { pairs: 1, accumulate: 64 })).toThrowError(
      expect.objectContaining({
        code: 'batch-wide-objective',
        message: expect.stringMatching(
          new RegExp(
            `batch\\.accumulate must be 1 with '${name}', received 64: .*\\. batch\\.pairs must be at least 2`,
          ),
        ),
        hint: expect.stringContaining('batch.pairs'),
      }),
    );
  });
});

it('every other objective takes updates of any size', () => {
  const perPair = objectiveNames.filter((name) => !['beta-dpo', 'alpha-dpo'].includes(name));
  expect(perPair).toHaveLength(objectiveNames.length - 2);
  for (const name of perPair) {
    expect(() => requireUpdateSize(createObjective({ name }), { pairs: 1, accumulate: 64 })).not.toThrow();
    expect(() => requireUpdateSize(createObjective({ name }), { tokens: 512 })).not.toThrow();
  }
});
