import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Figure } from './figure.ts';
import { escapeHtml, replaceControls } from './html.ts';
import { FONT_STACK, LIGHT } from './palette.ts';
import { FONT_SIZE, textWidth } from './text.ts';

/** What every chart has in common: words, axes and size. */
export interface Frame {
  readonly name: string;
  readonly title: string;
  readonly subtitle?: string;
  readonly description: string;
  readonly x: AxisFrame;
  readonly y: AxisFrame;
  readonly height?: number;
  readonly marginLeft?: number;
  readonly marginRight?: number;
  /** Room for a legend below the horizontal axis. */
  readonly legendHeight?: number;
  /** Categories of the vertical axis, in order, and how they are written there; absent for numeric axes. */
  readonly band?: readonly { readonly label: string; readonly text: string }[];
  readonly yFromZero?: boolean;
}

interface AxisFrame {
  readonly label: string;
  readonly scale?: 'linear' | 'log';
  readonly domain?: readonly [number, number];
  /** Ticks as `2e−7`, not 0.0000002. */
  readonly compact?: boolean;
}

/** The part of the DOM that finishing a drawing needs; the project compiles without browser types. */
interface SvgElement {
  readonly outerHTML: string;
  querySelector(selector: string): { remove(): void } | null;
  querySelectorAll(selector: string): Iterable<{ readonly textContent: string | null }>;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
}

/** Where data lie on the canvas, in pixels. */
export interface Drawing {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Where a legend begins. */
  readonly legendTop: number;
  toX(value: number): number;
  toY(value: number): number;
}

// Narrow enough that 13-unit text still reads when a phone scales the figure down.
export const WIDTH = 520;
const HEIGHT = 320;
const TOP = 64;
const BOTTOM = 46;
const MARGIN_LEFT = 56;
/** Characters of a tick, more of which are worth an exponent. */
const TICK_LENGTH = { x: 9, y: 7 } as const;
const TICK_PADDING = 6;
const MARGIN_RIGHT = 20;

/** Height of the part where data lie, of a frame whose height is not given. */
export function plotHeight(frame: { readonly subtitle?: string }): number {
  return HEIGHT - topOf(frame) - BOTTOM;
}

function topOf({ subtitle }: { readonly subtitle?: string }): number {
  return subtitle === undefined ? TOP - 16 : TOP;
}

/**
 * Draws marks in a frame, with ticks that fit. `annotate` sees where the data fell and adds marks that depend on it (labels),
 * which takes a second pass.
 */
export function draw(
  given: Frame,
  marks: readonly Plot.Markish[],
  annotate: (drawing: Drawing) => readonly Plot.Markish[],
): Figure {
  const frame = withRoomForTicks(given, render(given, marks).svg);
  const { svg: plain, ...size } = render(frame, marks);
  const x = plain.scale('x');
  const y = plain.scale('y');
  const { svg } = render(frame, [
    ...marks,
    ...annotate({
      ...size,
      legendTop: size.bottom + BOTTOM,
      toX: (value) => x?.apply(value) as number,
      toY: (value) => y?.apply(value) as number,
    }),
  ]);
  const { height } = size;
  return { ...finish(elementOf(svg), frame, height), width: WIDTH, height };
}

function render(frame: Frame, marks: readonly Plot.Markish[]) {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const { legendHeight = 0 } = frame;
  const height = (frame.height ?? HEIGHT) + legendHeight;
  const top = topOf(frame);
  const bottom = height - BOTTOM - legendHeight;
  const left = frame.marginLeft ?? MARGIN_LEFT;
  const right = frame.marginRight ?? MARGIN_RIGHT;
  const svg = Plot.plot({
    document,
    width: WIDTH,
    height,
    marginTop: top,
    marginBottom: height - bottom,
    marginLeft: left,
    marginRight: right,
    style: {
      fontFamily: FONT_STACK,
      fontSize: `${FONT_SIZE}px`,
      color: LIGHT.muted,
      background: 'none',
      overflow: 'visible',
    },
    x: { label: null, ...scaleOf(frame.x), ...(frame.band === undefined ? {} : { grid: false }) },
    y:
      frame.band === undefined
        ? { label: null, ...scaleOf(frame.y), zero: frame.yFromZero === true }
        : { type: 'band', domain: frame.band.map(({ label }) => label), label: null },
    marks: [...axes(frame), ...marks],
  });
  return { svg, height, left, right: WIDTH - right, top, bottom };
}

function elementOf(svg: ReturnType<typeof Plot.plot>): SvgElement {
  return svg as unknown as SvgElement;
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(textWidth));
}

/** Long ticks become compact where that is shorter; those of the vertical axis that stay long get a wider margin. */
function withRoomForTicks(frame: Frame, svg: ReturnType<typeof Plot.plot>): Frame {
  const ticksOf = (axis: 'x' | 'y'): string[] =>
    Array.from(
      elementOf(svg).querySelectorAll(`[aria-label="${axis}-axis tick label"] text`),
      ({ textContent }) => textContent ?? '',
    );
  const longest = (ticks: readonly string[]) => Math.max(0, ...ticks.map(({ length }) => length));
  const fitted = (axis: 'x' | 'y') => {
    const ticks = ticksOf(axis);
    const short = ticks.map((text) => compactNumber(Number(text.replace('−', '-').replaceAll(',', ''))));
    const compact = longest(ticks) > TICK_LENGTH[axis] && longest(short) < longest(ticks);
    return { axis: compact ? { ...frame[axis], compact } : frame[axis], ticks: compact ? short : ticks };
  };
  const x = fitted('x').axis;
  if (frame.band !== undefined) return { ...frame, x };
  const { axis: y, ticks } = fitted('y');
  const marginLeft = Math.max(frame.marginLeft ?? MARGIN_LEFT, TICK_PADDING + 1 + widest(ticks));
  return { ...frame, x, y, marginLeft };
}

/** `−2e−7` */
function compactNumber(value: number): string {
  if (value === 0) return '0';
  return Number(value.toPrecision(12)).toExponential().replace('+', '').replaceAll('-', '−');
}

function axes(frame: Frame): Plot.Markish[] {
  const color = { color: LIGHT.muted, tickSize: 0, tickPadding: TICK_PADDING };
  const grid = { stroke: LIGHT.rule, strokeOpacity: 1 };
  const ticks = { ticks: 5 };
  if (frame.band !== undefined) {
    const texts = new Map(frame.band.map(({ label, text }) => [label, text]));
    return [
      Plot.gridX({ ...grid, ...ticks }),
      Plot.axisX({ ...color, ...tickOptions(frame.x, 5), label: null }),
      Plot.axisY({ ...color, label: null, tickFormat: (label: string) => texts.get(label) ?? label }),
    ];
  }
  return [
    Plot.gridY({ ...grid, ...ticks }),
    Plot.axisX({ ...color, ...tickOptions(frame.x, 6), label: null }),
    Plot.axisY({ ...color, ...tickOptions(frame.y, 5), label: null }),
  ];
}

/** Log axes choose their own ticks, and would write .01 as 10m. */
function tickOptions({ scale, compact }: AxisFrame, ticks: number): Plot.AxisOptions {
  if (scale === 'log') return { tickFormat: compact === true ? compactNumber : plainDecimal };
  return compact === true ? { ticks, tickFormat: compactNumber } : { ticks };
}

function plainDecimal(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: Math.abs(value) >= 1e4 });
}

function scaleOf(axis: AxisFrame): { type?: 'log'; domain?: [number, number]; nice?: boolean } {
  return {
    ...(axis.scale === 'log' ? { type: 'log' as const } : {}),
    ...(axis.domain === undefined
      ? { nice: axis.scale !== 'log' }
      : { domain: [...axis.domain] as [number, number] }),
  };
}

/** Adds namespaces, accessible names, the title block and the axis labels to what Plot drew. */
function finish(svg: SvgElement, frame: Frame, height: number): Omit<Figure, 'width' | 'height'> {
  svg.querySelector('style')?.remove();
  svg.removeAttribute('class');
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  svg.setAttribute('role', 'img');
  // A file may have any name; a list of ids is split at spaces.
  const id = frame.name.replace(/[^\p{L}\p{N}_.-]+/gu, '-');
  svg.setAttribute('aria-labelledby', `${id}-title ${id}-desc`);
  const text = (x: number, y: number, words: string, style: string) =>
    `<text x="${x}" y="${y}" text-anchor="start" ${style}>${escapeHtml(words)}</text>`;
  const left = 4;
  const heading = [
    `<title id="${id}-title">${escapeHtml(frame.title)}</title>`,
    `<desc id="${id}-desc">${escapeHtml(frame.description)}</desc>`,
    text(left, 17, frame.title, `font-size="15" font-weight="600" fill="${LIGHT.ink}"`),
    frame.subtitle === undefined
      ? ''
      : text(left, 35, frame.subtitle, `font-size="12.5" fill="${LIGHT.muted}"`),
    frame.y.label === ''
      ? ''
      : text(
          left,
          frame.subtitle === undefined ? 36 : 53,
          frame.y.label,
          `font-size="12" fill="${LIGHT.muted}"`,
        ),
    text(
      frame.marginLeft ?? MARGIN_LEFT,
      height - (frame.legendHeight ?? 0) - 8,
      frame.x.label,
      `font-size="12" fill="${LIGHT.muted}"`,
    ),
  ].join('');
  // Inserted as text: a DOM made for HTML would take SVG's <title> for its own and write its content unescaped.
  const markup = replaceControls(svg.outerHTML).replace(/^<svg[^>]*>/, (tag) => tag + heading);
  return { name: frame.name, title: frame.title, description: frame.description, svg: markup };
}
