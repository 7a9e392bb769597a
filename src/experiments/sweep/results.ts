import { LOG_RATIO_ACCURACY, REWARD_ACCURACY } from '../../evaluate/index.ts';
import { mean, standardDeviation } from '../../stats/index.ts';
import type {
  MeasuredRun,
  Spread,
  SweepCell,
  SweepComparison,
  SweepReport,
  SweepResults,
  SweepRun,
  SweepSummary,
} from './contract.ts';
import { summarizeSweep } from './summary.ts';

const SIGNIFICANT = 0.05;

/** What a sweep found, for report.json. */
export function sweepReport(results: SweepResults): SweepReport {
  const { settings, runs, failed, unfinished } = results;
  const names = [...new Set(runs.map(({ cell }) => cell))];
  return {
    experiment: 'sweep',
    settings,
    summary: summaryOf(results),
    scales: differentScales(names, results),
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
    runs: runs.map(({ heldOut: _, ...run }) => run),
    failed,
    unfinished,
  };
}

/** Accuracy alike for all objectives where every run has it, else that by their own rewards. */
export function sweepAccuracy(runs: readonly MeasuredRun[]): string {
  return runs.every(({ metrics }) => metrics[LOG_RATIO_ACCURACY] !== undefined)
    ? LOG_RATIO_ACCURACY
    : REWARD_ACCURACY;
}

function summaryOf({ settings, runs, compares, scaleOf }: SweepResults): SweepSummary | null {
  const { metric, baseline, higherIsBetter } = settings;
  const measured = runs.flatMap(({ cell, seed, metrics, heldOut }): SweepRun[] => {
    const value = metrics[metric];
    const rows = heldOut?.[metric];
    return value === undefined ? [] : [{ cell, seed, value, ...(rows && { rows }) }];
  });
  if (measured.length === 0) return null;
  const alike = (first: string, second: string) => scaleOf?.(first, metric) === scaleOf?.(second, metric);
  // Tests that nobody asked for do not replace those that were.
  const lacksBaseline = baseline !== null && !measured.some(({ cell }) => cell === baseline);
  const summary = summarizeSweep(measured, {
    higherIsBetter,
    compares: (first, second) => !lacksBaseline && compares(first, second) && alike(first, second),
    ...(baseline !== null && !lacksBaseline && { baseline }),
    ...([LOG_RATIO_ACCURACY, REWARD_ACCURACY].includes(metric) && { range: [-1, 1] as const }),
  });
  const oneScale = measured.every(({ cell }) => alike(cell, measured[0]!.cell));
  return oneScale ? summary : { ...summary, best: [] };
}

function differentScales(
  cells: readonly string[],
  { settings, scaleOf }: SweepResults,
): SweepReport['scales'] {
  const byScale: Record<string, string[]> = {};
  for (const cell of cells) {
    const scale = scaleOf?.(cell, settings.metric);
    if (scale === undefined) return null;
    byScale[scale] = [...(byScale[scale] ?? []), cell];
  }
  return Object.keys(byScale).length > 1 ? byScale : null;
}

function spread(values: readonly number[]): Spread {
  return { mean: mean(values), sd: values.length > 1 ? standardDeviation(values) : null };
}

/** What the sweep says in plain sentences. */
export function sweepVerdict({ summary, settings, scales, failed, unfinished }: SweepReport): string[] {
  return [
    ...(summary === null
      ? [`No run was measured by ${settings.metric}.`]
      : [...bestVerdict(summary, settings.metric, scales), ...testVerdict(summary, settings)]),
    ...(failed.length > 0 ? [`${counted(failed.length, 'run')} failed; see below.`] : []),
    ...(unfinished.length > 0
      ? [`${counted(unfinished.length, 'run')} ${isOrAre(unfinished.length)} not finished.`]
      : []),
  ];
}

function bestVerdict(
  { best, cells, comparisons }: SweepSummary,
  metric: string,
  scales: SweepReport['scales'],
): string[] {
  if (scales !== null) {
    const kinds = Object.entries(scales).map(([scale, names]) => `${scale} (${names.join('; ')})`);
    const different = metric === REWARD_ACCURACY ? 'rewards' : 'objectives or coefficients';
    return [
      `Cells of different ${different} are not compared in ${metric}, and none is called best: it goes by ${kinds.join(', by ')}.`,
    ];
  }
  if (cells.length > 1 && best.length === cells.length) {
    return [`All ${cells.length} cells are equal in ${metric}: ${best.map(describeCell).join(' and ')}.`];
  }
  const isBest = (cell: string) => best.some((one) => one.cell === cell);
  const close = cells
    .map(({ cell }) => cell)
    .filter((cell) => !isBest(cell) && comparisons.some((one) => isUnclear(one, cell, isBest)));
  return [
    `Best by ${metric}: ${best.map(describeCell).join(' and ')}${close.length > 0 ? `; not shown better than ${close.join('; ')}` : ''}.`,
    ...(cells.length > 1
      ? [
          `The best of ${cells.length} cells, chosen on these held-out pairs, looks better on them than it is: measure it on others.`,
        ]
      : []),
  ];
}

function describeCell({ cell, mean: value, sd, seeds }: SweepCell): string {
  const spread = Number.isNaN(sd) ? '' : ` ± ${showValue(sd)}`;
  return `${cell} (${showValue(value)}${spread} over ${counted(seeds, 'seed')})`;
}

/** Whether a comparison of this cell with one of the best shows no difference. */
function isUnclear(
  { first, second, pValue }: SweepComparison,
  cell: string,
  isBest: (cell: string) => boolean,
): boolean {
  const other = first === cell ? second : second === cell ? first : undefined;
  return other !== undefined && isBest(other) && pValue >= SIGNIFICANT;
}

function testVerdict(
  { cells, comparisons, unmeasured }: SweepSummary,
  { baseline }: SweepReport['settings'],
): string[] {
  const of = (...kinds: SweepComparison['kind'][]) =>
    comparisons.filter(({ kind }) => kinds.includes(kind)).length;
  const ofThem = (count: number) => (comparisons.length === 1 ? 'It' : `${count} of them`);
  const said: (readonly [boolean, string])[] = [
    [
      baseline !== null && !cells.some(({ cell }) => cell === baseline),
      `No run of the baseline, ${baseline}, was measured: nothing is tested against it.`,
    ],
    [comparisons.length > 0, significance(comparisons)],
    [
      of('t', 'sign-flip') > 0,
      `${ofThem(of('t', 'sign-flip'))} ${isOrAre(of('t', 'sign-flip'))} tested over seeds alone, for want of records pair by pair: the choice of held-out prompts is not covered.`,
    ],
    [
      of('sign-flip') > 0,
      `${comparisons.length === 1 ? 'The' : `In ${of('sign-flip')} of them the`} difference is the same under every seed, which does not show how far chance moves it: a sign-flip test stands in for the t-test.`,
    ],
    [
      comparisons.some(({ unmatched }) => unmatched > 0),
      'Not all runs have the same held-out rows: differences are of those that both cells have, means of a cell of all its own.',
    ],
    [
      unmeasured.length > 0,
      'With fewer than two common seeds nothing can be said about differences: give --seeds.',
    ],
  ];
  return said.filter(([holds]) => holds).map(([, sentence]) => sentence);
}

function significance(comparisons: readonly SweepComparison[]): string {
  const sure = comparisons.filter(({ pValue }) => pValue < SIGNIFICANT);
  if (sure.length === 0) {
    return comparisons.length === 1
      ? 'The one comparison is not significant at 5 %.'
      : `None of ${comparisons.length} comparisons is significant at 5 % (Holm).`;
  }
  const words = sure.map(
    ({ first, second, difference }) => `${first} ${difference > 0 ? 'above' : 'below'} ${second}`,
  );
  if (comparisons.length === 1) return `The one comparison is significant at 5 %: ${words.join()}.`;
  return `${sure.length} of ${comparisons.length} comparisons ${isOrAre(sure.length)} significant at 5 % (Holm): ${words.join('; ')}.`;
}

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

const isOrAre = (count: number): string => (count === 1 ? 'is' : 'are');

/** A measured value in a few digits. */
export function showValue(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
  return value.toFixed(Math.abs(value) < 10 ? 4 : 2);
}
