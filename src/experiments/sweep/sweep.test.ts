import { describe, expect, it } from 'vitest';
import { metricScale } from '../../evaluate/index.ts';
import { mean, pairedTTest, RandomStream } from '../../stats/index.ts';
import type { MeasuredRun, SweepRun } from './contract.ts';
import { sweepPage } from './report.ts';
import { sweepAccuracy, sweepReport, sweepVerdict } from './results.ts';
import { summarizeSweep } from './summary.ts';

const runs = (cell: string, values: readonly number[], firstSeed = 0): SweepRun[] =>
  values.map((value, i) => ({ cell, seed: firstSeed + i, value }));

/** A run whose value is the mean of these rows, each of a prompt of its own. */
const runOf = (cell: string, seed: number, rows: ArrayLike<number>): SweepRun => ({
  cell,
  seed,
  value: mean(Array.from(rows)),
  rows: new Map(Array.from(rows, (value, i) => [`${i}`, { value, prompt: `${i}` }])),
});

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
    expect(best.map(({ cell }) => cell)).toEqual(['theta']);
    expect(summarizeSweep(all, { higherIsBetter: false }).best).toMatchObject([{ cell: 'dpo' }]);
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
    const { difference, interval, pValue } = pairedTTest(theta.toReversed(), dpo.toReversed());
    expect(comparisons[0]).toMatchObject({ difference, interval, kind: 't', seeds: 3, prompts: null });
    expect(comparisons[0]!.pValue).toBeCloseTo(2 * pValue, 12);
  });

  it('uses common seeds only, and lists what cannot be compared', () => {
    const { comparisons, unmeasured } = summarizeSweep(
      [...runs('a', [1, 2, 4]), ...runs('b', [1, 5, 9], 1), ...runs('c', [3], 0)],
      { higherIsBetter: true },
    );
    expect(comparisons).toHaveLength(1);
    const { difference, interval } = pairedTTest([2, 4], [1, 5]);
    expect(comparisons[0]).toMatchObject({ difference, interval, seeds: 2 });
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
    expect(above(2)).toMatchObject({ kind: 'sign-flip', pValue: 1 / 2, interval: null });
    expect(above(5)).toMatchObject({ kind: 'sign-flip', pValue: 1 / 16 });
  });

  it('tests over held-out prompts too where it knows them, so that effects of mean zero keep the level', () => {
    // What an objective does to a prompt is the same under every seed; over prompts it does nothing.
    const stream = RandomStream.create(7);
    const [prompts, seeds, trials] = [40, 4, 200];
    const rejected = { rows: 0, seeds: 0 };
    const draw = (sd: number) => Array.from({ length: prompts }, () => sd * stream.normal());
    for (let trial = 0; trial < trials; trial++) {
      const effect = draw(1);
      const runsOf = (cell: string, shift: readonly number[]) =>
        Array.from({ length: seeds }, (_, seed) => {
          const noise = draw(0.3);
          return runOf(
            cell,
            seed,
            shift.map((each, i) => each + noise[i]!),
          );
        });
      const all = [...runsOf('a', draw(0)), ...runsOf('b', effect)];
      const pValueOf = (of: readonly SweepRun[]) =>
        summarizeSweep(of, { higherIsBetter: true }).comparisons[0]!.pValue;
      if (pValueOf(all) < 0.05) rejected.rows++;
      if (pValueOf(all.map(({ rows: _, ...run }) => run)) < 0.05) rejected.seeds++;
    }
    expect(rejected.rows / trials).toBeLessThan(0.09);
    expect(rejected.seeds / trials).toBeGreaterThan(0.4);
  });

  it('takes rows that all runs of two cells share, and finds what is there', () => {
    const level = (shift: number, seed: number) =>
      Array.from({ length: 30 }, (_, i) => shift + Math.sin(i) + 0.01 * seed);
    const all = [0, 1, 2].flatMap((seed) => [
      runOf('a', seed, level(0.5, seed)),
      runOf('b', seed, level(0, seed).slice(0, 20)),
    ]);
    const { comparisons } = summarizeSweep(all, { higherIsBetter: true, range: [-1, 1] });
    expect(comparisons[0]).toMatchObject({ kind: 'seeds-and-prompts', seeds: 3, prompts: 20, unmatched: 10 });
    expect(comparisons[0]!.difference).toBeCloseTo(0.5, 12);
    expect(comparisons[0]!.pValue).toBeLessThan(0.001);
  });

  it('has every cell with the best mean, whatever the order of its values', () => {
    const all = [...runs('a', [0.1, 0.2, 0.3]), ...runs('b', [0.3, 0.2, 0.1]), ...runs('c', [0.1, 0.1, 0.1])];
    const { best } = summarizeSweep(all, { higherIsBetter: true });
    expect(best.map(({ cell }) => cell)).toEqual(['a', 'b']);
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

const OPTIMISTIC = (cells: number) =>
  `The best of ${cells} cells, chosen on these held-out pairs, looks better on them than it is: measure it on others.`;

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
    expect(without.summary).toMatchObject({ best: [{ cell: 'phi' }], comparisons: [], unmeasured: [] });
    expect(sweepVerdict(without)).toEqual([
      'Best by accuracy: phi (0.6000 ± 0.0000 over 2 seeds).',
      OPTIMISTIC(2),
      'No run of the baseline, dpo, was measured: nothing is tested against it.',
      '1 run failed; see below.',
      '1 run is not finished.',
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
    expect(sweepVerdict(report([...measured, ...baseline]))).toEqual([
      'Best by accuracy: phi (0.6000 ± 0.0000 over 2 seeds); not shown better than dpo.',
      OPTIMISTIC(3),
      'None of 2 comparisons is significant at 5 % (Holm).',
      '2 of them are tested over seeds alone, for want of records pair by pair: the choice of held-out prompts is not covered.',
      expect.stringMatching(/^In 2 of them the difference is the same under every seed, .* sign-flip test/),
      '1 run failed; see below.',
      '1 run is not finished.',
    ]);
  });

  it('names every best cell, and what they are not shown better than', () => {
    const alike = (cell: string, value: number) =>
      [0, 1].map((seed) => ({ cell, seed, path: '', metrics: { accuracy: value } }));
    const all = [...alike('theta', 1), ...alike('theta, shuffled', 1), ...alike('dpo', 0.9)];
    expect(sweepVerdict(report(all))[0]).toBe(
      'Best by accuracy: theta (1.0000 ± 0.0000 over 2 seeds) and theta, shuffled (1.0000 ± 0.0000 over 2 seeds); not shown better than dpo.',
    );
  });

  it('goes by log-ratios where every run has them, and else compares no accuracies of different rewards', async () => {
    const withRows = (cell: string, seed: number, ratio: boolean): MeasuredRun => ({
      cell,
      seed,
      path: `${cell}-${seed}`,
      metrics: { 'rewards/accuracies': 0.8, ...(ratio && { 'log_ratio/accuracies': 0.5 }) },
      heldOut: { 'rewards/accuracies': runOf(cell, seed, [1, 1, 0.4]).rows! },
    });
    const cells = ['dpo', 'simpo', 'cpo'];
    const all = (ratio: boolean) =>
      cells.flatMap((cell) => [0, 1].map((seed) => withRows(cell, seed, ratio)));
    expect(sweepAccuracy(all(true))).toBe('log_ratio/accuracies');
    expect(sweepAccuracy([...all(true), ...all(false)])).toBe('rewards/accuracies');
    const own = sweepReport({
      settings: { ...settings, metric: 'rewards/accuracies', baseline: null },
      runs: all(false),
      failed: [],
      unfinished: [],
      compares: () => true,
      scaleOf: (cell) => (cell === 'dpo' ? 'the gain on the reference' : `the reward of ${cell}`),
    });
    expect(own.summary).toMatchObject({ best: [], comparisons: [], unmeasured: [] });
    expect(sweepVerdict(own)).toEqual([
      'Cells of different rewards are not compared in rewards/accuracies, and none is called best: it goes by the gain on the reference (dpo), by the reward of simpo (simpo), by the reward of cpo (cpo).',
    ]);
    expect(await sweepPage(own, [])).not.toContain('<strong>');
    expect(own.runs[0]).not.toHaveProperty('heldOut');
  });

  it('compares no losses or rewards of different objectives or coefficients', () => {
    const recipes: Readonly<Record<string, object>> = {
      dpo: { name: 'dpo', beta: 0.1 },
      'dpo, lr 2e-6': { name: 'dpo', beta: 0.1 },
      'dpo, beta 0.5': { name: 'dpo', beta: 0.5 },
      simpo: { name: 'simpo', beta: 10 },
    };
    const reportBy = (metric: string) =>
      sweepReport({
        settings: { ...settings, metric, baseline: null, higherIsBetter: false },
        runs: Object.keys(recipes).flatMap((cell, i) =>
          [0, 1].map((seed) => ({ cell, seed, path: '', metrics: { [metric]: i + seed * i } })),
        ),
        failed: [],
        unfinished: [],
        compares: () => true,
        scaleOf: (cell, name) => metricScale(name, { ...recipes[cell] }),
      });
    for (const metric of ['loss', 'rewards/margins', 'loss_change/low']) {
      const { summary, scales } = reportBy(metric);
      expect(summary!.best).toEqual([]);
      expect(summary!.comparisons.map(({ first, second }) => [first, second])).toEqual([
        ['dpo', 'dpo, lr 2e-6'],
      ]);
      expect(scales).toEqual({
        'dpo with beta 0.1': ['dpo', 'dpo, lr 2e-6'],
        'dpo with beta 0.5': ['dpo, beta 0.5'],
        'simpo with beta 10': ['simpo'],
      });
    }
    expect(sweepVerdict(reportBy('loss'))[0]).toBe(
      'Cells of different objectives or coefficients are not compared in loss, and none is called best: it goes by dpo with beta 0.1 (dpo; dpo, lr 2e-6), by dpo with beta 0.5 (dpo, beta 0.5), by simpo with beta 10 (simpo).',
    );
    expect(reportBy('kl/on_policy')).toMatchObject({ scales: null, summary: { best: [{ cell: 'dpo' }] } });
  });

  it('chooses none of cells that are equal, and counts in words', () => {
    const cell = (name: string, ...values: number[]) =>
      values.map((accuracy, seed) => ({ cell: name, seed, path: '', metrics: { accuracy } }));
    const verdictOf = (runs: readonly MeasuredRun[]) =>
      sweepVerdict(
        sweepReport({
          settings: { ...settings, baseline: null },
          runs,
          failed: [],
          unfinished: [],
          compares: () => true,
        }),
      );
    expect(verdictOf([...cell('a', 0.5, 0.7), ...cell('b', 0.7, 0.5)])).toEqual([
      'All 2 cells are equal in accuracy: a (0.6000 ± 0.1414 over 2 seeds) and b (0.6000 ± 0.1414 over 2 seeds).',
      'The one comparison is not significant at 5 %.',
      'It is tested over seeds alone, for want of records pair by pair: the choice of held-out prompts is not covered.',
    ]);
    const apart = verdictOf([...cell('a', 0.9, 0.91, 0.92), ...cell('b', 0.1, 0.12, 0.11)]);
    expect(apart[2]).toBe('The one comparison is significant at 5 %: a above b.');
    const three = verdictOf([...cell('a', 0.9, 0.9001), ...cell('b', 0.1, 0.1002), ...cell('c', 0.1, 0.4)]);
    expect(three[2]).toMatch(/^1 of 3 comparisons is significant at 5 % \(Holm\): a above b\.$/);
  });

  it('tells of failures where nothing was measured at all', () => {
    expect(sweepVerdict(report([]))).toEqual([
      'No run was measured by accuracy.',
      '1 run failed; see below.',
      '1 run is not finished.',
    ]);
  });
});
