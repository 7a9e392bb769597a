import {
  barChart,
  dataTable,
  type Figure,
  figureGrid,
  html,
  preformatted,
  type ReportSection,
  renderReport,
  scatterChart,
} from '../report/index.ts';
import { mean, standardDeviation } from '../stats/index.ts';
import { type SweepSummary, summarizeSweep } from './sweep.ts';
import { writeExperiment } from './write-report.ts';

/** A run that finished: its last evaluation, metrics without their `eval_`. */
export interface MeasuredRun {
  readonly cell: string;
  readonly seed: number;
  readonly path: string;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface FailedRun {
  readonly cell: string;
  readonly seed: number;
  readonly path: string;
  readonly attempts: number;
  readonly error: string;
}

/** The content of a sweep's report.json. */
export interface SweepReport {
  readonly experiment: 'sweep';
  readonly settings: {
    readonly recipe: string | null;
    readonly set: readonly string[];
    readonly grid: Readonly<Record<string, readonly string[]>>;
    readonly seeds: number;
    readonly metric: string;
    /** The cell that every other one is tested against; null: every two comparable ones are tested. */
    readonly baseline: string | null;
    readonly higherIsBetter: boolean;
    readonly controls: readonly string[];
  };
  readonly summary: SweepSummary | null;
  /** Mean and sd over seeds of every metric of every cell. */
  readonly cells: readonly { readonly cell: string; readonly metrics: Readonly<Record<string, Spread>> }[];
  readonly runs: readonly MeasuredRun[];
  readonly failed: readonly FailedRun[];
  readonly unfinished: readonly { readonly cell: string; readonly seed: number }[];
}

export interface Spread {
  readonly mean: number;
  /** Null for a single seed. */
  readonly sd: number | null;
}

export interface SweepResults {
  readonly settings: SweepReport['settings'];
  readonly runs: readonly MeasuredRun[];
  readonly failed: readonly FailedRun[];
  readonly unfinished: SweepReport['unfinished'];
  /** Which two cells are tested against each other. */
  readonly compares: (first: string, second: string) => boolean;
}

/** Metrics that every preference run has, in the order of the table. */
const SHOWN = ['rewards/accuracies', 'rewards/margins', 'loss', 'kl/on_policy'];

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
    `Best by ${metric}: ${best.cell}, ${number(best.mean)}${Number.isNaN(best.sd) ? '' : ` ± ${number(best.sd)}`} over ${seeds(best.seeds)}.`,
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

export function sweepFigures({ cells, settings, runs }: SweepReport): Figure[] {
  const { metric, controls } = settings;
  const bars = cells.flatMap(({ cell, metrics }) => {
    const found = metrics[metric];
    if (found === undefined) return [];
    const { mean: value, sd } = found;
    return {
      label: cell,
      value,
      color: controls.includes(cell) ? ('grey' as const) : ('blue' as const),
      ...(sd !== null && { low: value - sd, high: value + sd }),
    };
  });
  const chart = barChart({
    name: 'cells',
    title: metric,
    subtitle: `mean over seeds, whiskers ± one sd${controls.length > 0 ? '; grey: shuffled-dispersion controls' : ''}`,
    description: `${metric} of every cell: ${bars.map(({ label, value }) => `${label} ${number(value)}`).join(', ')}.`,
    x: { label: metric },
    bars,
    format: number,
  });
  const withKl = runs.filter(
    ({ metrics }) => metrics['kl/on_policy'] !== undefined && metrics[metric] !== undefined,
  );
  if (withKl.length === 0 || metric === 'kl/on_policy') return [chart];
  return [
    chart,
    scatterChart({
      name: 'frontier',
      title: `${metric} against KL`,
      subtitle: 'a point a run',
      description: `Each run's ${metric} against its on-policy KL to the reference.`,
      x: { label: 'on-policy KL (nats a completion)' },
      y: { label: metric },
      series: cells.map(({ cell }) => ({
        label: cell,
        points: withKl
          .filter((run) => run.cell === cell)
          .map(({ metrics }) => ({ x: metrics['kl/on_policy']!, y: metrics[metric]! })),
      })),
    }),
  ];
}

export async function sweepPage(report: SweepReport, figures: readonly Figure[]): Promise<string> {
  const { settings, cells, failed } = report;
  const sections: ReportSection[] = [
    {
      heading: 'Cells',
      body: html`${figureGrid(figures.map((figure) => ({ figure })))}${cellTable(report)}`,
    },
    ...comparisonSection(report),
    ...(failed.length > 0
      ? [
          {
            heading: 'Failed runs',
            body: html`${failed.map(({ cell, seed, path, attempts, error }) => html`<h3>${cell}, seed ${seed}</h3><p>${path}, ${attempts} attempts</p>${preformatted(error)}`)}`,
          },
        ]
      : []),
    {
      heading: 'Settings',
      body: preformatted(
        [
          `recipe: ${settings.recipe ?? '(none)'}`,
          ...settings.set.map((one) => `--set ${one}`),
          ...Object.entries(settings.grid).map(([key, values]) => `--grid ${key}=${values.join(',')}`),
          `--seeds ${settings.seeds}`,
          ...(settings.baseline === null ? [] : [`--baseline ${settings.baseline}`]),
        ].join('\n'),
      ),
    },
  ];
  return renderReport({
    kicker: 'Sweep',
    title: `${cells.length} cells, ${settings.seeds} ${settings.seeds === 1 ? 'seed' : 'seeds'}`,
    verdict: sweepVerdict(report),
    sections,
  });
}

function cellTable({ cells, summary, settings }: SweepReport) {
  const shown = [settings.metric, ...SHOWN.filter((name) => name !== settings.metric)].filter((name) =>
    cells.some(({ metrics }) => metrics[name] !== undefined),
  );
  const text = (value: Spread | undefined) =>
    value === undefined ? '–' : `${number(value.mean)}${value.sd === null ? '' : ` ± ${number(value.sd)}`}`;
  const table = dataTable(
    [
      { heading: 'Cell' },
      { heading: 'Seeds', numeric: true },
      ...shown.map((heading) => ({ heading, numeric: true })),
    ],
    cells.map(({ cell, metrics }) => [
      cell === summary?.best.cell ? html`<strong>${cell}</strong>` : cell,
      summary?.cells.find((one) => one.cell === cell)?.seeds ?? 0,
      ...shown.map((name) => text(metrics[name])),
    ]),
    'Mean ± sd over seeds, on held-out pairs',
  );
  return html`${table}<p>Losses and margins of different objectives or β are on different scales; accuracies and KL can be compared.</p>`;
}

function comparisonSection({ summary, settings }: SweepReport): ReportSection[] {
  if (summary === null || summary.comparisons.length === 0) return [];
  return [
    {
      heading: 'Differences over seeds',
      body: dataTable(
        [
          { heading: 'Cell' },
          { heading: 'Against' },
          { heading: `Difference in ${settings.metric}`, numeric: true },
          { heading: '95 % interval', numeric: true },
          { heading: 'p, corrected', numeric: true },
          { heading: 'Seeds', numeric: true },
        ],
        summary.comparisons.map(({ first, second, test, pValue }) => [
          first,
          second,
          number(test.difference),
          test.interval === null ? '–' : `${number(test.interval[0])} to ${number(test.interval[1])}`,
          pValue < 0.001 ? '< 0.001' : pValue.toPrecision(2),
          test.count,
        ]),
      ),
    },
  ];
}

function number(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
  return value.toFixed(Math.abs(value) < 10 ? 4 : 2);
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeSweepReport(directory: string, report: SweepReport): Promise<string[]> {
  const figures = report.summary === null ? [] : sweepFigures(report);
  return writeExperiment(directory, report, figures, await sweepPage(report, figures));
}
