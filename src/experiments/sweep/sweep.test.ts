import { describe, expect, it } from 'vitest';
import { pairedTTest } from '../../stats/index.ts';
import type { SweepRun } from './contract.ts';
import { sweepPage } from './report.ts';
import { sweepReport, sweepVerdict } from './results.ts';
import { summarizeSweep } from './summary.ts';

const runs = (cell: string, values: readonly number[], firstSeed = 0): SweepRun[] =>
  values.map((value, i) => ({ cell, seed: firstSeed + i, value }));

describe('a sweep’s summary', () => {
  const dpo = [0.6, 0.64, 0.59];
  const theta = [0.63, 0.66, 0.63];
  const phi = [0.5, 0.72, 0.61];

  it('has mean ± sd and the best cell, whichever way is better', () => {
    const all = [...runs('dpo', dpo), ...runs('theta', theta)];
    const { cells, best } = summarizeSweep(all, { higherIsBetter: true });
    expect(cells.map(({ cell, seeds }) => [cell, seeds])).toEqual([
      ['dpo', 3],
      ['theta', 3],
    ]);
    expect(cells[0]!.mean).toBeCloseTo(0.61, 12);
    expect(cells[0]!.sd).toBeCloseTo(Math.sqrt((0.01 ** 2 + 0.03 ** 2 + 0.02 ** 2) / 2), 12);
    expect(best.cell).toBe('theta');
    expect(summarizeSweep(all, { higherIsBetter: false }).best.cell).toBe('dpo');
  });

  it('pairs by seed, not by order, and adjusts for the number of comparisons', () => {
    const shuffled = [...runs('theta', theta)].reverse();
    const { comparisons } = summarizeSweep([...runs('dpo', dpo), ...shuffled, ...runs('phi', phi)], {
      higherIsBetter: true,
      baseline: 'dpo',
    });
    expect(comparisons.map(({ first, second }) => [first, second])).toEqual([
      ['theta', 'dpo'],
      ['phi', 'dpo'],
    ]);
    expect(comparisons[0]!.test).toEqual(pairedTTest(theta.toReversed(), dpo.toReversed()));
    expect(comparisons[0]!.pValue).toBeCloseTo(2 * comparisons[0]!.test.pValue, 12);
  });

  it('uses common seeds only, and lists what cannot be compared', () => {
    const { comparisons, unmeasured } = summarizeSweep(
      [...runs('a', [1, 2, 4]), ...runs('b', [1, 5, 9], 1), ...runs('c', [3], 0)],
      { higherIsBetter: true },
    );
    expect(comparisons).toHaveLength(1);
    expect(comparisons[0]!.test).toEqual(pairedTTest([2, 4], [1, 5]));
    expect(unmeasured).toEqual([
      ['a', 'c'],
      ['b', 'c'],
    ]);
  });

  it('finds no difference between equal cells', () => {
    const { comparisons } = summarizeSweep([...runs('a', [1, 2]), ...runs('b', [1, 2])], {
      higherIsBetter: true,
    });
    expect(comparisons[0]!.pValue).toBe(1);
  });

  it('takes equal differences for no certainty', () => {
    const above = (count: number) => {
      const seeds = Array.from({ length: count }, (_, i) => (24 + i) / 48);
      const all = [
        ...runs(
          'a',
          seeds.map((value) => value + 1 / 48),
        ),
        ...runs('b', seeds),
      ];
      return summarizeSweep(all, { higherIsBetter: true }).comparisons[0]!;
    };
    expect(above(2)).toMatchObject({ kind: 'sign-flip', pValue: 1 / 2, test: { interval: null } });
    expect(above(5)).toMatchObject({ kind: 'sign-flip', pValue: 1 / 16 });
  });

  it('rejects no runs, a run twice, and an unknown baseline', () => {
    expect(() => summarizeSweep([], { higherIsBetter: true })).toThrow(/without finished runs/);
    expect(() => summarizeSweep([...runs('a', [1]), ...runs('a', [2])], { higherIsBetter: true })).toThrow(
      /'a' has two runs with seed 0/,
    );
    expect(() => summarizeSweep(runs('a', [1]), { higherIsBetter: true, baseline: 'b' })).toThrow(
      /no cell 'b'/,
    );
  });
});

describe('a sweep’s report', () => {
  const settings = {
    recipe: null,
    set: [],
    grid: {},
    seeds: 2,
    metric: 'accuracy',
    baseline: 'dpo',
    higherIsBetter: true,
    controls: [],
  };
  const measured = ['theta', 'phi'].flatMap((cell, i) =>
    [0, 1].map((seed) => ({ cell, seed, path: `${cell}-${seed}`, metrics: { accuracy: 0.5 + 0.1 * i } })),
  );
  const failed = [{ cell: 'dpo', seed: 0, path: 'dpo-0', attempts: 2, error: 'error: out of memory' }];
  const report = (runs: typeof measured) =>
    sweepReport({
      settings,
      runs,
      failed,
      unfinished: [{ cell: 'dpo', seed: 1 }],
      compares: () => true,
    });

  it('says that the baseline was not measured, and tests nothing else in its place', async () => {
    const without = report(measured);
    expect(without.summary).toMatchObject({ best: { cell: 'phi' }, comparisons: [], unmeasured: [] });
    expect(sweepVerdict(without)).toEqual([
      'Best by accuracy: phi, 0.6000 ± 0.0000 over 2 seeds.',
      'No run of the baseline, dpo, was measured: nothing is tested against it.',
      '1 runs failed; see below.',
      '1 runs are not finished.',
    ]);
    expect(await sweepPage(without, [])).toContain('error: out of memory');
  });

  it('tests against a baseline that was', () => {
    const baseline = [0, 1].map((seed) => ({
      cell: 'dpo',
      seed,
      path: `dpo-${seed}`,
      metrics: { accuracy: 0.4 },
    }));
    const { summary } = report([...measured, ...baseline]);
    expect(summary!.comparisons.map(({ first, second }) => [first, second])).toEqual([
      ['theta', 'dpo'],
      ['phi', 'dpo'],
    ]);
    expect(sweepVerdict(report([...measured, ...baseline])).slice(1, 3)).toEqual([
      'None of 2 comparisons over seeds is significant at 5 % (paired t-tests, Holm).',
      expect.stringMatching(/^In 2 of them the difference is the same under every seed, .* sign-flip test/),
    ]);
  });

  it('tells of failures where nothing was measured at all', () => {
    expect(sweepVerdict(report([]))).toEqual([
      'No run was measured by accuracy.',
      '1 runs failed; see below.',
      '1 runs are not finished.',
    ]);
  });
});
