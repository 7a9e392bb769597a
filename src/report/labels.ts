import * as Plot from '@observablehq/plot';
import type { Look } from './looks.ts';
import { type Drawing, WIDTH } from './plot.ts';
import { FONT_SIZE, textWidth, wrapText } from './text.ts';

export interface NamedSeries {
  readonly label: string;
  readonly look: Look;
  /** The last point of the series, in data units; a series without one is not named. */
  readonly at: { readonly x: number; readonly y: number } | undefined;
}

/** What a series is drawn with, for the sample beside its name. */
export interface Strokes {
  readonly line: boolean;
  readonly dots: boolean;
}

/** The names of a chart's series: the room that they take, and their marks. */
export interface Naming {
  readonly marginRight?: number;
  readonly legendHeight?: number;
  marks(plot: Drawing): Plot.Markish[];
}

const LINE_HEIGHT = 15;
const SAMPLE = 26;
const GAP = 6;
/** Widest column of labels beside the frame, sample included: the plot keeps more than half of the canvas. */
const BESIDE = 168;
const LEGEND = { left: 4, width: WIDTH - 8, gap: 16, rowGap: 3, padding: 8 };

/**
 * Names each series at its last point where all names fit beside a frame of `height`, and in a legend below it where they
 * do not. A sample of line and symbol stands before the names where colour alone does not tell the series apart.
 */
export function nameSeries(series: readonly NamedSeries[], height: number, strokes: Strokes): Naming {
  const named = series.filter(({ at, label }) => at !== undefined && label !== '');
  if (named.length === 0) return { marks: () => [] };
  const sampled = new Set(named.map(({ look }) => look.ink)).size < named.length;
  const indent = sampled ? SAMPLE : 0;
  const wrapped = named.map((one) => ({ ...one, lines: wrapText(one.label, BESIDE - indent) }));
  const needed = wrapped.reduce((sum, { lines }) => sum + LINE_HEIGHT * lines.length, 0);
  const fits = needed <= height + LINE_HEIGHT && wrapped.every(({ lines }) => lines.length <= 2);
  if (!fits) return legend(named, strokes);
  const widest = Math.max(...wrapped.flatMap(({ lines }) => lines.map(textWidth)));
  return {
    marginRight: GAP + indent + widest + GAP,
    marks: (plot) => {
      const blocks = wrapped
        .map((one) => ({ ...one, y: plot.toY(one.at!.y), height: LINE_HEIGHT * one.lines.length }))
        .sort((a, b) => a.y - b.y);
      // Half a line above and below the frame is free.
      spread(blocks, plot.top - LINE_HEIGHT / 2, plot.bottom + LINE_HEIGHT / 2);
      return blocks.flatMap(({ lines, look, y, height: own }) => {
        const place = { x: plot.right + GAP, top: y - own / 2 };
        return [
          ...(sampled ? sample(plot, look, place, strokes) : []),
          words(plot, lines, look.ink, { ...place, x: place.x + indent }),
        ];
      });
    },
  };
}

/** Names in rows below the frame, each beside a sample of its series. */
export function legend(series: readonly Pick<NamedSeries, 'label' | 'look'>[], strokes: Strokes): Naming {
  const { left, width, gap, rowGap, padding } = LEGEND;
  const widest = SAMPLE + Math.max(...series.map(({ label }) => textWidth(label)));
  const columns = Math.max(1, Math.floor((width + gap) / (widest + gap)));
  const entries = series.map((one) => ({ ...one, lines: wrapText(one.label, width - SAMPLE) }));
  const places: { x: number; top: number }[] = [];
  let top = 0;
  for (let first = 0; first < entries.length; first += columns) {
    const row = entries.slice(first, first + columns);
    places.push(...row.map((_, column) => ({ x: left + (column * (width + gap)) / columns, top })));
    top += rowGap + LINE_HEIGHT * Math.max(...row.map(({ lines }) => lines.length));
  }
  return {
    legendHeight: top + padding,
    marks: (plot) =>
      entries.flatMap(({ lines, look }, index) => {
        const place = { x: places[index]!.x, top: plot.legendTop + places[index]!.top };
        return [
          ...sample(plot, look, place, strokes),
          words(plot, lines, look.ink, { ...place, x: place.x + SAMPLE }),
        ];
      }),
  };
}

interface Place {
  readonly x: number;
  readonly top: number;
}

function words(plot: Drawing, lines: readonly string[], ink: string, { x, top }: Place): Plot.Markish {
  return Plot.text([lines.join('\n')], {
    text: (text: string) => text,
    frameAnchor: 'top-left',
    textAnchor: 'start',
    lineHeight: LINE_HEIGHT / FONT_SIZE,
    dx: x - plot.left,
    dy: top - plot.top,
    fill: ink,
    fontWeight: 600,
  });
}

function sample(
  plot: Drawing,
  { ink, symbol, dash }: Look,
  { x, top }: Place,
  strokes: Strokes,
): Plot.Markish[] {
  const place = {
    frameAnchor: 'top-left' as const,
    dx: x - plot.left + SAMPLE / 2 - 3,
    dy: top - plot.top + LINE_HEIGHT / 2 - 1,
  };
  return [
    ...(strokes.line
      ? [
          Plot.vector([0], {
            ...place,
            length: SAMPLE - 6,
            rotate: 90,
            shape: HORIZONTAL,
            stroke: ink,
            strokeWidth: 2,
            ...dashes(dash),
          }),
        ]
      : []),
    ...(strokes.dots ? [Plot.dot([0], { ...place, symbol, fill: ink, r: 3.5 })] : []),
  ];
}

/** Without an arrow's head. */
const HORIZONTAL = {
  draw(path: { moveTo(x: number, y: number): void; lineTo(x: number, y: number): void }, length: number) {
    path.moveTo(0, 0);
    path.lineTo(0, -length);
  },
};

/** Round caps, the default, would close the gaps of short dashes. */
export function dashes(dash: string | undefined): Plot.MarkOptions {
  return dash === undefined ? {} : { strokeDasharray: dash, strokeLinecap: 'butt' };
}

/** Moves blocks, sorted by their centres, apart until none overlap, keeping them between `top` and `bottom`; or left and right. */
export function spread(items: { y: number; readonly height: number }[], top: number, bottom: number): void {
  let limit = top;
  for (const item of items) {
    item.y = Math.max(item.y, limit + item.height / 2);
    limit = item.y + item.height / 2;
  }
  limit = bottom;
  for (const item of items.toReversed()) {
    item.y = Math.min(item.y, limit - item.height / 2);
    limit = item.y - item.height / 2;
  }
}
