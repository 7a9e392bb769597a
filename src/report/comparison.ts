import { dirname } from 'node:path';
import {
  type ComparisonReport,
  formatMetric,
  METRICS,
  type MetricComparison,
  type MetricEstimate,
  type MetricKind,
  type ThirdComparison,
} from '../evaluate/index.ts';
import { writeFileAtomic } from '../runs/index.ts';
import { barChart } from './charts.ts';
import { type Figure, writeFigure } from './figure.ts';
import { type Html, html } from './html.ts';
import { type JudgedSample, judgedPairs } from './judged-pairs.ts';
import { dataTable, type Fact, figureGrid, preformatted, type ReportSection, renderReport } from './page.ts';

/** Pairs to read oneself: both answers, and who won. */
export interface ComparisonSamples {
  /** What the two answers are called. */
  readonly names: readonly [string, string];
  readonly pairs: readonly JudgedSample[];
}

export interface ComparisonPage {
  readonly report: ComparisonReport;
  readonly samples?: ComparisonSamples;
  /** Recipes of the runs, by path. */
  readonly recipes: ReadonlyMap<string, string>;
}

const SHOWN_PAIRS = 60;

/** A comparison as a page: the verdict, figures with intervals, a table, pairs to read, and the recipes last. */
export async function comparisonReport(page: ComparisonPage): Promise<{ html: string; figures: Figure[] }> {
  const { report, samples, recipes } = page;
  const measured = METRICS.filter(({ name }) =>
    report.methods.some(({ metrics }) => metrics[name] !== undefined),
  );
  const figures = measured.map((metric) => metricFigure(report, metric));
  const sections: ReportSection[] = [
    { heading: 'Estimates', body: figureGrid(figures.map((figure) => ({ figure }))) },
    { heading: 'Differences', body: differenceTable(report) },
    ...(report.thirds.length === 0
      ? []
      : [{ heading: 'Difference by thirds of w', body: thirdsTable(report) }]),
    ...(samples === undefined || samples.pairs.length === 0 ? [] : [sampleSection(samples)]),
    {
      heading: 'Settings',
      body: html`${[...recipes].map(([path, text]) => html`<h3>${path}</h3>${preformatted(text.trimEnd())}`)}`,
    },
  ];
  const text = await renderReport({
    kicker: 'Comparison',
    title: report.methods.map(({ method }) => method).join(', '),
    subtitle: `Compared with ${report.baseline}`,
    verdict: [...report.verdict, ...report.notes],
    facts: leadingFacts(report),
    sections,
  });
  return { html: text, figures };
}

/** Writes the page, and its figures as SVG and PNG into `figures/` beside it. */
export async function writeComparisonReport(path: string, page: ComparisonPage): Promise<void> {
  const { html: text, figures } = await comparisonReport(page);
  for (const figure of figures) await writeFigure(`${dirname(path)}/figures`, figure);
  writeFileAtomic(path, text);
}

function metricFigure(report: ComparisonReport, metric: MetricKind & (typeof METRICS)[number]): Figure {
  const { name, label, unit, scale, digits, range } = metric;
  const bars = report.methods.flatMap(({ method, metrics }) => {
    const estimate: MetricEstimate | undefined = metrics[name];
    if (estimate === undefined) return [];
    const { interval } = estimate;
    return {
      label: method,
      value: scale * estimate.estimate,
      ...(interval !== null && { low: scale * interval[0], high: scale * interval[1] }),
    };
  });
  const quantity = unit === '' ? label : `${label} (${unit})`;
  return barChart({
    name: `compare-${name}`,
    title: label,
    description: `${quantity}: ${bars.map((bar) => `${bar.label} ${bar.value.toFixed(digits)}`).join(', ')}.`,
    x: { label: quantity, ...(range && { range: [scale * range[0], scale * range[1]] as const }) },
    bars,
    ...(name === 'winRate' && {
      references: [{ axis: 'x', value: 50, label: '' }],
      subtitle: 'dotted: an even match',
    }),
    format: (value) => value.toFixed(digits),
  });
}

function differenceTable({ comparisons, baseline, methods }: ComparisonReport): Html {
  const several = methods.length > 2;
  return dataTable(
    [
      ...(several ? [{ heading: 'Method' }] : []),
      { heading: 'Measure' },
      { heading: 'Difference', numeric: true },
      { heading: '95 % interval', numeric: true },
      { heading: 'p, corrected', numeric: true },
      { heading: 'Prompts', numeric: true },
    ],
    comparisons.map((comparison) => [
      ...(several ? [comparison.method] : []),
      measureOf(comparison),
      ...differenceCells(comparison),
    ]),
    several ? `Each method minus ${baseline}` : `${methods[1]!.method} minus ${baseline}`,
  );
}

/** Whether the difference depends on w(x). */
function thirdsTable({ thirds, baseline, methods }: ComparisonReport): Html {
  const several = methods.length > 2;
  const table = dataTable(
    [
      ...(several ? [{ heading: 'Method' }] : []),
      { heading: 'Measure' },
      { heading: 'Third' },
      { heading: 'w(x)', numeric: true },
      { heading: 'Difference', numeric: true },
      { heading: '95 % interval', numeric: true },
      { heading: 'p, corrected', numeric: true },
      { heading: 'Prompts', numeric: true },
    ],
    thirds.map((each) => [
      ...(several ? [each.method] : []),
      measureOf(each),
      each.third,
      each.w.map((w) => w.toFixed(2)).join(' to '),
      ...differenceCells(each),
    ]),
    several ? `Each method minus ${baseline}` : `${methods[1]!.method} minus ${baseline}`,
  );
  return html`${table}<p>p-values are corrected for the ${thirds.length} differences of this table (Holm). That one third shows a difference and another shows none does not show that the two differ: compare their intervals.</p>`;
}

function measureOf({ metric }: MetricComparison | ThirdComparison): string {
  const { label, unit } = METRICS.find(({ name }) => name === metric)!;
  return unit === '' ? label : `${label} (${unit === '%' ? 'points' : unit})`;
}

/** Difference, interval, p-value and prompts. */
function differenceCells(comparison: MetricComparison | ThirdComparison): (string | number)[] {
  const { metric, estimate, low, high, adjustedPValue, n, prompts } = comparison;
  const kind = METRICS.find(({ name }) => name === metric)!;
  const number = (value: number) => formatMetric(value, kind).replace('-', '−');
  return [
    signed(number(estimate)),
    `${number(low)} to ${number(high)}`,
    pValueText(adjustedPValue),
    n === prompts ? n : `${prompts} (${n} pairs)`,
  ];
}

/** The measure that the verdict begins with, for the top of the page. */
function leadingFacts({ methods, comparisons }: ComparisonReport): Fact[] {
  const metric = METRICS.find(
    ({ name, better }) => better !== 'none' && comparisons.some((comparison) => comparison.metric === name),
  );
  if (metric === undefined) return [];
  const { name, label, unit } = metric;
  return methods.flatMap(({ method, metrics }) => {
    const measured: MetricEstimate | undefined = metrics[name];
    if (measured === undefined) return [];
    const { estimate, interval, n, prompts } = measured;
    const evidence = n === prompts ? `${n} prompts` : `${n} pairs of ${prompts} prompts`;
    const number = (value: number) => formatMetric(value, metric);
    return {
      label: `${label}, ${method}`,
      value: `${number(estimate)}${unit === '' ? '' : ` ${unit}`}`,
      note:
        interval === null ? 'one prompt' : `${number(interval[0])} to ${number(interval[1])}, ${evidence}`,
    };
  });
}

function sampleSection({ names, pairs }: ComparisonSamples): ReportSection {
  const rest = pairs.length > SHOWN_PAIRS && html`<p>The first ${SHOWN_PAIRS} of ${pairs.length} pairs.</p>`;
  return { heading: 'Pairs to read', body: html`${rest}${judgedPairs(pairs, names, SHOWN_PAIRS)}` };
}

function pValueText(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toPrecision(2);
}

function signed(text: string): string {
  return text.startsWith('−') ? text : `+${text}`;
}
