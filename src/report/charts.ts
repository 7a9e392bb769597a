import * as Plot from '@observablehq/plot';
import { histogram, summarize } from '../stats/index.ts';
import type { Figure } from './figure.ts';
import { dashes, legend, type Naming, nameSeries } from './labels.ts';
import { type Look, looksOf } from './looks.ts';
import { LIGHT, type SeriesColor } from './palette.ts';
import { type Drawing, draw, type Frame, plotHeight } from './plot.ts';
import {
  type Box,
  LABEL_HEIGHT,
  labelsAbove,
  type Obstacles,
  type ReferenceLine,
  referenceLabels,
  referenceLines,
} from './reference-labels.ts';
import { textWidth, wrapText } from './text.ts';

export interface Axis {
  /** What is measured; a unit belongs in it: `"loss (nats a pair)"`. */
  readonly label: string;
  readonly scale?: 'linear' | 'log';
  readonly domain?: readonly [number, number];
  /** Least and largest value that there can be: no axis without a `domain` goes beyond. */
  readonly range?: readonly [least: number, largest: number];
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
  const frame = frameOf({ ...options, y: fitted(options.y, valuesOn('y', options)) });
  return draw({ ...frame, ...roomOf(names) }, [...marks, ...referenceLines(options.references)], (plot) => [
    ...names.marks(plot),
    ...referenceLabels(options.references, plot, curvesOf(series, plot, true)),
  ]);
}

/** Everything that a chart places on an axis. */
function valuesOn(
  axis: 'x' | 'y',
  { series, references = [] }: Pick<LineChartOptions, 'series' | 'references'>,
): number[] {
  return [
    ...series.flatMap(({ points, band = [] }) => [
      ...points.map((point) => point[axis]),
      ...(axis === 'y' ? band.flatMap(({ low, high }) => [low, high]) : []),
    ]),
    ...references.filter((reference) => reference.axis === axis).map(({ value }) => value),
  ].filter(Number.isFinite);
}

/** An axis of one value only would have no length; it gets some on both sides. None goes beyond what there can be. */
function fitted(axis: Axis, values: readonly number[]): Axis {
  const { domain, scale, range: [least, largest] = [-Infinity, Infinity] } = axis;
  if (values.length === 0 || domain !== undefined || scale === 'log') return axis;
  const { min, max } = summarize(values);
  const bounded = (value: number) => Math.max(least, Math.min(value, largest));
  const [low, high] = [bounded(min), bounded(max)];
  if (low === high) return { ...axis, domain: [bounded(low - 0.5), bounded(high + 0.5)] };
  return low === min && high === max ? axis : { ...axis, domain: [low, high] };
}

/** Where series lie. Points that are not finite leave a gap. */
function curvesOf(series: readonly Series[], plot: Drawing, joined: boolean): Obstacles {
  const at = ({ x, y }: Point): Point => ({ x: plot.toX(x), y: plot.toY(y) });
  const lines = joined ? series.flatMap(({ points }) => unbroken(points).map((line) => line.map(at))) : [];
  const dotted = series.filter(({ dots }) => dots === true || !joined);
  const boxes = dotted.flatMap(({ points }) =>
    points.filter(isFinitePoint).map((point) => around(at(point))),
  );
  const bands = series.flatMap(({ band = [] }) => {
    const edges = band.map(({ x, low, high }) => [at({ x, y: low }), at({ x, y: high })] as const);
    return edges.slice(1).map((edge, before) => spanning([...edge, ...edges[before]!]));
  });
  return { lines, boxes, bands };
}

function unbroken(points: readonly Point[]): Point[][] {
  const lines: Point[][] = [[]];
  for (const point of points) {
    if (isFinitePoint(point)) lines.at(-1)!.push(point);
    else lines.push([]);
  }
  return lines;
}

function around({ x, y }: Point): Box {
  return { left: x - 4, right: x + 4, top: y - 4, bottom: y + 4 };
}

function spanning(points: readonly Point[]): Box {
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
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
  const [x, y] = [fitted(options.x, valuesOn('x', options)), fitted(options.y, valuesOn('y', options))];
  return draw(
    { ...frameOf({ ...options, x, y }), ...roomOf(names) },
    [...marks, ...referenceLines(options.references)],
    (plot) => {
      const curves = curvesOf(
        series.map((one) => ({ ...one, dots: true })),
        plot,
        joined,
      );
      return [...names.marks(plot), ...referenceLabels(options.references, plot, curves)];
    },
  );
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
    y: { label: 'share of rows (%)', ...roomAbove(binned, options) },
  });
  return draw(
    { ...frame, ...roomOf(names), yFromZero: true },
    [...marks, ...referenceLines(options.references)],
    (plot) => [
      ...names.marks(plot),
      ...referenceLabels(options.references, plot, {
        boxes: binned.flatMap(({ bars }) =>
          bars.map(({ low, high, share }) =>
            spanning([
              { x: plot.toX(low), y: plot.toY(share) },
              { x: plot.toX(high), y: plot.bottom },
            ]),
          ),
        ),
        lines: [],
        bands: [],
      }),
    ],
  );
}

/** For the label of a vertical line above the highest bar. */
function roomAbove(
  groups: readonly { readonly bars: readonly Bar[] }[],
  options: HistogramOptions,
): Pick<Axis, 'domain'> {
  const { references = [] } = options;
  if (!references.some(({ axis, label }) => axis === 'x' && label !== '')) return {};
  const highest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ share }) => share)));
  return { domain: [0, highest / (1 - (LABEL_HEIGHT + 3) / plotHeight(options))] };
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
  const [least, largest] = options.x.range ?? [-Infinity, Infinity];
  const bars = options.bars.map(({ low, high, ...bar }) => ({
    ...bar,
    ...(low !== undefined && { low: Math.max(least, low) }),
    ...(high !== undefined && { high: Math.min(largest, high) }),
    ink: LIGHT[bar.color ?? 'blue'],
    end: Math.max(bar.value, Math.min(largest, high ?? bar.value), 0),
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
    ...referenceLines(options.references),
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
  return draw(frame, marks, (plot) => labelsAbove(options.references, plot));
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
