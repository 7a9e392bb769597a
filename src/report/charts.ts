import * as Plot from '@observablehq/plot';
import { histogram, summarize } from '../stats/index.ts';
import type { Figure } from './figure.ts';
import { dashes, legend, type Naming, nameSeries } from './labels.ts';
import { type Look, looksOf } from './looks.ts';
import { LIGHT, type SeriesColor } from './palette.ts';
import { draw, type Frame, plotHeight } from './plot.ts';
import { textWidth, wrapText } from './text.ts';

export interface Axis {
  /** What is measured; a unit belongs in it: `"loss (nats a pair)"`. */
  readonly label: string;
  readonly scale?: 'linear' | 'log';
  readonly domain?: readonly [number, number];
}

/** A value to compare with, drawn as a thin line with its name. */
export interface ReferenceLine {
  readonly axis: 'x' | 'y';
  readonly value: number;
  readonly label: string;
}

export interface ChartOptions {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly subtitle?: string;
  /** For readers who cannot see the figure: what it shows, in a sentence. */
  readonly description: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly references?: readonly ReferenceLine[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  /** Written at the line's end, or in a legend where the labels do not fit there. */
  readonly label: string;
  readonly points: readonly Point[];
  /** An interval around the line, e.g. a 95 % bound. */
  readonly band?: readonly { readonly x: number; readonly low: number; readonly high: number }[];
  readonly color?: SeriesColor;
  readonly dashed?: boolean;
  /** Marks every point, for series of few measurements. */
  readonly dots?: boolean;
}

export interface LineChartOptions extends ChartOptions {
  readonly series: readonly Series[];
}

/** Lines over a common axis, each with its name. Points that are not finite leave a gap. */
export function lineChart(options: LineChartOptions): Figure {
  const looks = looksOf(options.series);
  const series = options.series.map((one, index) => ({ ...one, look: looks[index]! }));
  const marks: Plot.Markish[] = [];
  for (const { band, look } of series) {
    if (band !== undefined) {
      marks.push(Plot.areaY(band, { x: 'x', y1: 'low', y2: 'high', fill: look.ink, fillOpacity: 0.16 }));
    }
  }
  for (const { points, look, dots } of series) {
    const { ink, symbol, dash } = look;
    marks.push(
      Plot.lineY(points, {
        x: 'x',
        y: 'y',
        stroke: ink,
        strokeWidth: dots === true ? 2 : 1.4,
        ...dashes(dash),
      }),
    );
    if (dots === true) marks.push(Plot.dot(points, { x: 'x', y: 'y', fill: ink, symbol, r: 3 }));
  }
  const names = nameSeries(
    series.map(({ label, look, points }) => ({ label, look, at: points.findLast(isFinitePoint) })),
    plotHeight(options),
    { line: true, dots: series.some(({ dots }) => dots === true) },
  );
  const frame = frameOf({ ...options, y: withRoom(options.y, heights(options)) });
  return draw({ ...frame, ...roomOf(names) }, [...marks, ...referenceMarks(options)], names.marks);
}

/** Everything that a line chart places on its vertical axis. */
function heights({ series, references = [] }: LineChartOptions): number[] {
  return [
    ...series.flatMap(({ points, band = [] }) => [
      ...points.map(({ y }) => y),
      ...band.flatMap(({ low, high }) => [low, high]),
    ]),
    ...references.filter(({ axis }) => axis === 'y').map(({ value }) => value),
  ].filter(Number.isFinite);
}

/** An axis of one value only would have no length; it gets some on both sides. */
function withRoom(axis: Axis, values: readonly number[]): Axis {
  const [only] = values;
  if (only === undefined || axis.domain !== undefined || axis.scale === 'log') return axis;
  return values.every((value) => value === only) ? { ...axis, domain: [only - 0.5, only + 0.5] } : axis;
}

export interface ScatterChartOptions extends ChartOptions {
  readonly series: readonly Series[];
  /** Joins each series' points in the order given (a frontier over training). */
  readonly connect?: boolean;
}

/** Points in the plane, one look and one name a series. */
export function scatterChart(options: ScatterChartOptions): Figure {
  const looks = looksOf(options.series);
  const series = options.series.map((one, index) => ({ ...one, look: looks[index]! }));
  const joined = options.connect === true;
  const marks: Plot.Markish[] = [];
  for (const { points, look } of series) {
    const { ink, symbol, dash } = look;
    if (joined) {
      marks.push(
        Plot.line(points, {
          x: 'x',
          y: 'y',
          stroke: ink,
          strokeWidth: 1.25,
          strokeOpacity: 0.7,
          ...dashes(dash),
        }),
      );
    }
    marks.push(
      Plot.dot(points, {
        x: 'x',
        y: 'y',
        fill: ink,
        fillOpacity: 0.75,
        symbol,
        r: points.length > 60 ? 2 : 3,
      }),
    );
  }
  const names = nameSeries(
    series.map(({ label, look, points }) => ({
      label,
      look,
      at: points
        .filter(isFinitePoint)
        .reduce<Point | undefined>((last, p) => (last && last.x >= p.x ? last : p), undefined),
    })),
    plotHeight(options),
    { line: joined, dots: true },
  );
  return draw({ ...frameOf(options), ...roomOf(names) }, [...marks, ...referenceMarks(options)], names.marks);
}

export interface HistogramOptions extends Omit<ChartOptions, 'y'> {
  readonly groups: readonly {
    readonly label: string;
    readonly values: ArrayLike<number>;
    readonly color?: SeriesColor;
  }[];
  /** Number of bins over the common range; by default three times Sturges' rule on the largest group. */
  readonly bins?: number;
}

/** Shares of values by bin; several groups are drawn as outlines over one another, each with a look of its own. */
export function histogramChart(options: HistogramOptions): Figure {
  const looks = looksOf(options.groups);
  const groups = options.groups.map((group, index) => ({
    ...group,
    values: Array.from(group.values).filter(Number.isFinite),
    look: looks[index]!,
  }));
  const { min, max } = summarize(groups.flatMap((group) => group.values));
  const range = options.x.domain ?? (min === max ? [min - 0.5, max + 0.5] : [min, max]);
  const largest = Math.max(...groups.map((group) => group.values.length));
  const count = options.bins ?? Math.max(12, 3 * Math.ceil(Math.log2(largest)));
  const binned = groups.map(({ values, label, look }) => {
    const bars = histogram(values, count, [range[0], range[1]]).map((bin) => ({
      ...bin,
      share: (100 * bin.count) / values.length,
    }));
    return { label, look, bars };
  });
  const several = groups.length > 1;
  const marks = binned.flatMap(({ bars, look }): Plot.Markish[] => {
    const bar = { x1: 'low', x2: 'high', y: 'share', fill: look.ink };
    return several
      ? [Plot.rectY(bars, { ...bar, fillOpacity: 0.3 / groups.length }), outline(bars, look)]
      : [Plot.rectY(bars, { ...bar, fillOpacity: 0.85, inset: 0.5 })];
  });
  const names: Naming = several ? legend(binned, { line: true, dots: false }) : { marks: () => [] };
  const frame = frameOf({
    ...options,
    x: { ...options.x, domain: [range[0], range[1]] as const },
    y: { label: 'share of rows (%)' },
  });
  return draw(
    { ...frame, ...roomOf(names), yFromZero: true },
    [...marks, ...referenceMarks(options)],
    names.marks,
  );
}

interface Bar {
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

/** The contour of bars, from the axis up and down to it again. */
function outline(bars: readonly Bar[], { ink, dash }: Look): Plot.Markish {
  const points = [
    { x: bars[0]!.low, y: 0 },
    ...bars.flatMap(({ low, high, share }) => [
      { x: low, y: share },
      { x: high, y: share },
    ]),
    { x: bars.at(-1)!.high, y: 0 },
  ];
  return Plot.line(points, { x: 'x', y: 'y', stroke: ink, strokeWidth: 1.5, ...dashes(dash) });
}

export interface BarChartOptions {
  readonly name: string;
  readonly title: string;
  readonly subtitle?: string;
  readonly description: string;
  /** What the bars measure, with its unit. */
  readonly x: Axis;
  readonly bars: readonly {
    readonly label: string;
    readonly value: number;
    readonly low?: number;
    readonly high?: number;
    readonly color?: SeriesColor;
  }[];
  readonly references?: readonly ReferenceLine[];
  readonly format?: (value: number) => string;
}

/** Widest names beside bars; longer ones go on in the next line. */
const BAR_LABEL = 204;

/** Horizontal bars with their values written beside them, and intervals where given. */
export function barChart(options: BarChartOptions): Figure {
  const format = options.format ?? ((value: number) => value.toPrecision(3));
  const bars = options.bars.map((bar) => ({
    ...bar,
    ink: LIGHT[bar.color ?? 'blue'],
    end: Math.max(bar.value, bar.high ?? bar.value, 0),
  }));
  const marks: Plot.Markish[] = [
    Plot.barX(bars, { x: 'value', y: 'label', fill: 'ink', fillOpacity: 0.85, insetTop: 3, insetBottom: 3 }),
    Plot.ruleY(
      bars.filter((bar) => bar.low !== undefined && bar.high !== undefined),
      { x1: 'low', x2: 'high', y: 'label', stroke: LIGHT.ink, strokeWidth: 1.5 },
    ),
    Plot.text(bars, {
      x: 'end',
      y: 'label',
      text: (bar: { value: number }) => format(bar.value),
      fill: LIGHT.ink,
      textAnchor: 'start',
      dx: 6,
    }),
    ...referenceMarks(options),
  ];
  const names = new Map(bars.map(({ label }) => [label, wrapText(label, BAR_LABEL)]));
  const lines = [...names.values()];
  const row = Math.max(30, 8 + 13 * Math.max(1, ...lines.map(({ length }) => length)));
  const frame: Frame = {
    ...frameOf({ ...options, y: { label: '' } }),
    height: 110 + row * bars.length,
    band: [...names].map(([label, words]) => ({ label, text: words.join('\n') })),
    marginLeft: 16 + Math.max(0, ...lines.flat().map(textWidth)),
    marginRight: Math.max(56, 12 + Math.max(0, ...bars.map((bar) => textWidth(format(bar.value))))),
  };
  return draw(frame, marks);
}

function frameOf(options: ChartOptions): Frame {
  const { name, title, subtitle, description, x, y } = options;
  return { name, title, description, x, y, ...(subtitle === undefined ? {} : { subtitle }) };
}

function roomOf({ marginRight, legendHeight }: Naming): Pick<Frame, 'marginRight' | 'legendHeight'> {
  return {
    ...(marginRight === undefined ? {} : { marginRight }),
    ...(legendHeight === undefined ? {} : { legendHeight }),
  };
}

function isFinitePoint(point: Point): boolean {
  return Number.isFinite(point.x) && Number.isFinite(point.y);
}

function referenceMarks(options: { readonly references?: readonly ReferenceLine[] }): Plot.Markish[] {
  return (options.references ?? []).flatMap(({ axis, value, label }) => {
    const style = { stroke: LIGHT.muted, strokeWidth: 1, strokeDasharray: '2 3' };
    const words = { text: [label], fill: LIGHT.muted, fontSize: 12, stroke: LIGHT.paper, strokeWidth: 4 };
    if (axis === 'y') {
      return [
        Plot.ruleY([value], style),
        Plot.text([value], {
          ...words,
          y: (d: number) => d,
          frameAnchor: 'right',
          textAnchor: 'end',
          dx: -4,
          dy: -9,
        }),
      ];
    }
    return [
      Plot.ruleX([value], style),
      Plot.text([value], {
        ...words,
        x: (d: number) => d,
        frameAnchor: 'top',
        textAnchor: 'start',
        dx: 5,
        dy: 6,
      }),
    ];
  });
}
