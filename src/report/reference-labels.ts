import * as Plot from '@observablehq/plot';
import { spread } from './labels.ts';
import { LIGHT } from './palette.ts';
import type { Drawing } from './plot.ts';
import { FONT_SIZE, textWidth } from './text.ts';

/** A value to compare with, drawn as a thin line with its name. */
export interface ReferenceLine {
  readonly axis: 'x' | 'y';
  readonly value: number;
  /** Empty: the line alone. */
  readonly label: string;
}

/** A part of the canvas, in pixels. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** What labels keep clear of, in pixels; a band around a line rather than the line itself, where one has to be. */
export interface Obstacles {
  readonly boxes: readonly Box[];
  readonly lines: readonly (readonly { readonly x: number; readonly y: number }[])[];
  readonly bands: readonly Box[];
}

const SIZE = 12;
/** Of a label's box; a line of text has air in it. */
export const LABEL_HEIGHT = 15;
const GAP = 4;
/** Places that are tried along a line. */
const PLACES = 40;

/** The lines alone: their labels are placed where the drawing is known. */
export function referenceLines(references: readonly ReferenceLine[] = []): Plot.Markish[] {
  const style = { stroke: LIGHT.muted, strokeWidth: 1, strokeDasharray: '2 3' };
  return references.map(({ axis, value }) =>
    axis === 'y' ? Plot.ruleY([value], style) : Plot.ruleX([value], style),
  );
}

/** The labels, each beside its line where it covers the least, and never another label. */
export function referenceLabels(
  references: readonly ReferenceLine[] = [],
  plot: Drawing,
  obstacles: Obstacles,
): Plot.Markish[] {
  const labelled = references.filter(({ label }) => label !== '');
  const placed: Box[] = [];
  return labelled.map((reference) => {
    const others = labelled.filter((one) => one !== reference).map((one) => lineOf(one, plot));
    const cost = (box: Box) =>
      1000 * count(placed, (one) => overlap(one, box)) +
      10 * count(obstacles.boxes, (one) => overlap(one, box)) +
      10 * sum([...obstacles.lines, ...others], (line) => crossings(line, box)) +
      count(obstacles.bands, (one) => overlap(one, box));
    const box = cheapest(places(reference, plot), cost);
    placed.push(box);
    return words(plot, reference.label, box);
  });
}

/** Above the frame, where a chart of bars has nothing else: each as near its line as the others let it. */
export function labelsAbove(references: readonly ReferenceLine[] = [], plot: Drawing): Plot.Markish[] {
  const blocks = references
    .filter(({ label }) => label !== '')
    .map(({ label, value }) => ({ label, y: plot.toX(value), height: widthOf(label) }))
    .sort((a, b) => a.y - b.y);
  spread(blocks, plot.left, plot.right);
  const top = plot.top - LABEL_HEIGHT - 2;
  return blocks.map(({ label, y: at, height: width }) =>
    words(plot, label, placeAt(at - width / 2, top, width, 'middle')),
  );
}

function lineOf({ axis, value }: ReferenceLine, plot: Drawing) {
  const [x, y] = [plot.toX(value), plot.toY(value)];
  return axis === 'x'
    ? [
        { x, y: plot.top },
        { x, y: plot.bottom },
      ]
    : [
        { x: plot.left, y },
        { x: plot.right, y },
      ];
}

/** A label's box, which may be wider than the label, and the side of it that the label keeps to. */
interface Place extends Box {
  readonly anchor: 'start' | 'middle' | 'end';
}

/** Where a label may stand, best first: along its line from the right or the top, on either side. */
function places({ axis, value, label }: ReferenceLine, plot: Drawing): Place[] {
  const width = widthOf(label);
  const steps = Array.from({ length: PLACES }, (_, step) => step / (PLACES - 1));
  const boxes = steps.flatMap((step) => {
    if (axis === 'y') {
      const left = plot.right - GAP - width - step * (plot.right - plot.left - width - 2 * GAP);
      const at = plot.toY(value);
      return [at - LABEL_HEIGHT - 2, at + 2].map((top) => placeAt(left, top, width, 'end'));
    }
    const top = plot.top + step * (plot.bottom - plot.top - LABEL_HEIGHT);
    const at = plot.toX(value);
    return [placeAt(at + GAP + 1, top, width, 'start'), placeAt(at - GAP - 1 - width, top, width, 'end')];
  });
  const within = boxes.filter(
    (box) =>
      box.left >= plot.left && box.right <= plot.right && box.top >= plot.top && box.bottom <= plot.bottom,
  );
  return within.length > 0 ? within : boxes;
}

function widthOf(label: string): number {
  return (textWidth(label) * SIZE) / FONT_SIZE;
}

function placeAt(left: number, top: number, width: number, anchor: Place['anchor']): Place {
  return { left, right: left + width, top, bottom: top + LABEL_HEIGHT, anchor };
}

function words(plot: Drawing, label: string, { left, right, top, anchor }: Place): Plot.Markish {
  const x = { start: left, middle: (left + right) / 2, end: right }[anchor];
  return Plot.text([label], {
    text: (text: string) => text,
    frameAnchor: 'top-left',
    textAnchor: anchor,
    dx: x - plot.left,
    dy: top - plot.top + (LABEL_HEIGHT - SIZE) / 2,
    fill: LIGHT.muted,
    fontSize: SIZE,
    stroke: LIGHT.paper,
    strokeWidth: 4,
  });
}

function cheapest(places: readonly Place[], cost: (box: Box) => number): Place {
  const costs = places.map(cost);
  return places[costs.indexOf(Math.min(...costs))]!;
}

function count<T>(all: readonly T[], matches: (one: T, index: number) => boolean): number {
  return sum(all, (one, index) => Number(matches(one, index)));
}

function sum<T>(all: readonly T[], value: (one: T, index: number) => number): number {
  return all.reduce((total, one, index) => total + value(one, index), 0);
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

type Point = Obstacles['lines'][number][number];

function crossings(line: readonly Point[], box: Box): number {
  return count(line.slice(1), (to, before) => meets(line[before]!, to, box));
}

/** Whether a part of the way from one point to the other lies in the box (Liang–Barsky). */
function meets(from: Point, to: Point, { left, right, top, bottom }: Box): boolean {
  let [enters, leaves] = [0, 1];
  for (const [start, end, low, high] of [
    [from.x, to.x, left, right],
    [from.y, to.y, top, bottom],
  ] as const) {
    const way = end - start;
    if (way === 0 && (start <= low || start >= high)) return false;
    if (way === 0) continue;
    const [first, second] = [(low - start) / way, (high - start) / way];
    enters = Math.max(enters, Math.min(first, second));
    leaves = Math.min(leaves, Math.max(first, second));
  }
  return enters < leaves;
}
