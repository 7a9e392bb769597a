import { LOG_RATIO_ACCURACY, loggedRange, REWARD_ACCURACY } from '../../evaluate/index.ts';
import {
  type Axis,
  barChart,
  dataTable,
  type Figure,
  figureGrid,
  html,
  preformatted,
  type ReportSection,
  renderReport,
  scatterChart,
} from '../../report/index.ts';
import { writeExperiment } from '../shared/write-report.ts';
import type { Spread, SweepComparison, SweepReport } from './contract.ts';
import { showValue, sweepVerdict } from './results.ts';

/** Metrics that every preference run has, in the order of the table. */
const SHOWN = [LOG_RATIO_ACCURACY, REWARD_ACCURACY, 'rewards/margins', 'loss', 'kl/on_policy'];

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
    description: `${metric} of every cell: ${bars.map(({ label, value }) => `${label} ${showValue(value)}`).join(', ')}.`,
    x: axisOf(metric),
    bars,
    format: showValue,
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
      x: axisOf('kl/on_policy', 'on-policy KL (nats a completion)'),
      y: axisOf(metric),
      series: cells.map(({ cell }) => ({
        label: cell,
        points: withKl
          .filter((run) => run.cell === cell)
          .map(({ metrics }) => ({ x: metrics['kl/on_policy']!, y: metrics[metric]! })),
      })),
    }),
  ];
}

function axisOf(metric: string, label = metric): Axis {
  const range = loggedRange(metric);
  return { label, ...(range && { range }) };
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
    value === undefined
      ? '–'
      : `${showValue(value.mean)}${value.sd === null ? '' : ` ± ${showValue(value.sd)}`}`;
  const table = dataTable(
    [
      { heading: 'Cell' },
      { heading: 'Seeds', numeric: true },
      ...shown.map((heading) => ({ heading, numeric: true })),
    ],
    cells.map(({ cell, metrics }) => [
      summary?.best.some((best) => best.cell === cell) === true ? html`<strong>${cell}</strong>` : cell,
      summary?.cells.find((one) => one.cell === cell)?.seeds ?? 0,
      ...shown.map((name) => text(metrics[name])),
    ]),
    'Mean ± sd over seeds, on held-out pairs',
  );
  return html`${table}<p>Losses, rewards and margins of different objectives or β are on different scales, and ${REWARD_ACCURACY} go by each objective’s own reward, which without a reference orders pairs before it is trained. ${LOG_RATIO_ACCURACY} and KL can be compared.</p>`;
}

const COVERED = {
  'seeds-and-prompts': 'seeds and prompts',
  t: 'seeds',
  'sign-flip': 'seeds (sign-flip)',
} as const satisfies Record<SweepComparison['kind'], string>;

function comparisonSection({ summary, settings }: SweepReport): ReportSection[] {
  if (summary === null || summary.comparisons.length === 0) return [];
  return [
    {
      heading: 'Differences',
      body: dataTable(
        [
          { heading: 'Cell' },
          { heading: 'Against' },
          { heading: `Difference in ${settings.metric}`, numeric: true },
          { heading: '95 % interval', numeric: true },
          { heading: 'p, corrected', numeric: true },
          { heading: 'Seeds', numeric: true },
          { heading: 'Prompts', numeric: true },
          { heading: 'Covers' },
        ],
        summary.comparisons.map((each) => [
          each.first,
          each.second,
          showValue(each.difference),
          each.interval === null ? '–' : `${showValue(each.interval[0])} to ${showValue(each.interval[1])}`,
          each.pValue < 0.001 ? '< 0.001' : each.pValue.toPrecision(2),
          each.seeds,
          each.prompts ?? '–',
          COVERED[each.kind],
        ]),
      ),
    },
  ];
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeSweepReport(directory: string, report: SweepReport): Promise<string[]> {
  const figures = report.summary === null ? [] : sweepFigures(report);
  return writeExperiment(directory, report, figures, await sweepPage(report, figures));
}
