import { mean, standardDeviation } from '../../stats/index.ts';
import type { Spread, SweepReport, SweepResults, SweepSummary } from './contract.ts';
import { summarizeSweep } from './summary.ts';

/** What a sweep found, for report.json. */
export function sweepReport(results: SweepResults): SweepReport {
  const { settings, runs, failed, unfinished, compares } = results;
  const values = runs.flatMap(({ cell, seed, metrics }) => {
    const value = metrics[settings.metric];
    return value === undefined ? [] : [{ cell, seed, value }];
  });
  const names = [...new Set(runs.map(({ cell }) => cell))];
  const { baseline, higherIsBetter } = settings;
  const tests =
    baseline === null
      ? { compares }
      : values.some(({ cell }) => cell === baseline)
        ? { compares, baseline }
        : // Tests that nobody asked for do not replace those that were.
          { compares: () => false };
  return {
    experiment: 'sweep',
    settings,
    summary: values.length === 0 ? null : summarizeSweep(values, { higherIsBetter, ...tests }),
    cells: names.map((cell) => {
      const own = runs.filter((run) => run.cell === cell);
      const metrics = [...new Set(own.flatMap((run) => Object.keys(run.metrics)))];
      return {
        cell,
        metrics: Object.fromEntries(
          metrics.map((metric) => [metric, spread(own.flatMap((r) => r.metrics[metric] ?? []))]),
        ),
      };
    }),
    runs,
    failed,
    unfinished,
  };
}

function spread(values: readonly number[]): Spread {
  return { mean: mean(values), sd: values.length > 1 ? standardDeviation(values) : null };
}

/** What the sweep says in plain sentences. */
export function sweepVerdict({ summary, settings, failed, unfinished }: SweepReport): string[] {
  return [
    ...(summary === null
      ? [`No run was measured by ${settings.metric}.`]
      : summaryVerdict(summary, settings)),
    ...(failed.length > 0 ? [`${failed.length} runs failed; see below.`] : []),
    ...(unfinished.length > 0 ? [`${unfinished.length} runs are not finished.`] : []),
  ];
}

function summaryVerdict(
  { best, cells, comparisons, unmeasured }: SweepSummary,
  { metric, baseline }: SweepReport['settings'],
): string[] {
  const sure = comparisons.filter(({ pValue }) => pValue < 0.05);
  const equal = comparisons.filter(({ kind }) => kind === 'sign-flip').length;
  const seeds = (count: number) => `${count} ${count === 1 ? 'seed' : 'seeds'}`;
  return [
    `Best by ${metric}: ${best.cell}, ${showValue(best.mean)}${Number.isNaN(best.sd) ? '' : ` ± ${showValue(best.sd)}`} over ${seeds(best.seeds)}.`,
    ...(baseline === null || cells.some(({ cell }) => cell === baseline)
      ? []
      : [`No run of the baseline, ${baseline}, was measured: nothing is tested against it.`]),
    ...(comparisons.length > 0
      ? [
          sure.length === 0
            ? `None of ${comparisons.length} comparisons over seeds is significant at 5 % (paired t-tests, Holm).`
            : `${sure.length} of ${comparisons.length} comparisons over seeds are significant at 5 % (paired t-tests, Holm): ${sure.map(({ first, second, test }) => `${first} ${test.difference > 0 ? 'above' : 'below'} ${second}`).join('; ')}.`,
        ]
      : []),
    ...(equal > 0
      ? [
          `In ${equal} of them the difference is the same under every seed, which does not show how far chance moves it: a sign-flip test stands in for the t-test.`,
        ]
      : []),
    ...(unmeasured.length > 0
      ? ['With fewer than two common seeds nothing can be said about differences: give --seeds.']
      : []),
  ];
}

/** A measured value in a few digits. */
export function showValue(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
  return value.toFixed(Math.abs(value) < 10 ? 4 : 2);
}
