import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Resvg } from '@resvg/resvg-js';
import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { barChart, histogramChart, lineChart, scatterChart } from './charts.ts';
import { type Figure, renderPng, writeFigure } from './figure.ts';
import { escapeHtml } from './html.ts';
import { spread } from './labels.ts';
import { looksOf } from './looks.ts';
import { LIGHT } from './palette.ts';
import { textWidth, wrapText } from './text.ts';

const FONT = {
  loadSystemFonts: false,
  fontFiles: ['Regular', 'SemiBold'].map((style) =>
    fileURLToPath(new URL(`../../assets/fonts/Inter-${style}.ttf`, import.meta.url)),
  ),
  defaultFontFamily: 'Inter',
  sansSerifFamily: 'Inter',
};

const common = { name: 'figure', title: 'Loss <falls>', description: 'Loss "falls" & stays.' };

function parse(figure: Figure) {
  return parseHTML(`<html><body>${figure.svg}</body></html>`).document;
}

const line = (): Figure =>
  lineChart({
    ...common,
    x: { label: 'step' },
    y: { label: 'loss (nats)' },
    series: [
      {
        label: 'training',
        points: [
          { x: 0, y: 0.7 },
          { x: 1, y: Number.NaN },
          { x: 2, y: 0.5 },
        ],
      },
      {
        label: 'held out',
        points: [
          { x: 0, y: 0.69 },
          { x: 2, y: 0.51 },
        ],
      },
    ],
    references: [{ axis: 'y', value: Math.LN2, label: 'ln 2' }],
  });

describe('charts', () => {
  it('draws every series with its label, axis names and an accessible name', () => {
    const document = parse(line());
    const svg = document.querySelector('svg');
    expect(svg?.getAttribute('role')).toBe('img');
    expect(document.querySelector('title')?.textContent).toBe('Loss <falls>');
    expect(document.querySelector('desc')?.textContent).toBe('Loss "falls" & stays.');
    const words = [...document.querySelectorAll('text')].map((node) => node.textContent);
    for (const expected of ['training', 'held out', 'step', 'loss (nats)', 'ln 2']) {
      expect(
        words.some((text) => text?.includes(expected)),
        expected,
      ).toBe(true);
    }
    expect(line().svg).not.toContain('NaN');
  });

  it('gives the same bytes for the same data', async () => {
    expect(line().svg).toBe(line().svg);
    expect((await renderPng(line())).equals(await renderPng(line()))).toBe(true);
  });

  it('renders a PNG with text from the bundled font', async () => {
    const png = await renderPng(line());
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(16)).toBe(1040);
    const wordless = { ...line(), svg: line().svg.replace(/<text[^>]*>[^<]*<\/text>/g, '') };
    expect((await renderPng(wordless)).length).toBeLessThan(png.length * 0.9);
  });

  it('gives a line that stays where it is an axis with ticks of a few digits', () => {
    const points = [0, 4, 8].map((x) => ({ x, y: 1 }));
    const axes = { x: { label: 'step' }, y: { label: 'share of pairs' } };
    const { svg } = lineChart({ ...common, ...axes, series: [{ label: 'held out', points }] });
    expect(svg).toMatch(/>\s*0\.6\s*</);
    expect(svg).not.toContain('1.000000');
  });

  it('draws histograms, also of values that are all equal', () => {
    const figure = histogramChart({
      ...common,
      x: { label: 'w' },
      groups: [{ label: 'all', values: [1, 1, 1] }],
    });
    expect(figure.svg).toContain('<rect');
  });

  it('tells groups of a histogram apart, more than there are colours', () => {
    const names = ['imdb', 'hh', 'pandalm', 'shp', 'ultrafeedback', 'nectar', 'stack exchange'];
    const figure = histogramChart({
      ...common,
      x: { label: 'w' },
      groups: names.map((label, i) => ({ label, values: [0, 1, 2, 2 + i, 9] })),
    });
    expectReadable(figure, names);
    expect(looksIn(figure, 'line').size).toBe(names.length);
  });

  it('takes any name and any words', async () => {
    const figure = lineChart({
      ...common,
      name: 'R&D, "v 2"',
      x: { label: 'step' },
      y: { label: 'loss' },
      series: [{ label: 'run\u0001\u001b[1m <a>', points: [0, 1].map((x) => ({ x, y: x })) }],
    });
    const svg = parse(figure).querySelector('svg')!;
    const ids: string[] = svg.getAttribute('aria-labelledby')!.split(' ');
    expect(ids).toEqual(['R-D-v-2--title', 'R-D-v-2--desc']);
    expect(ids.map((id) => parse(figure).getElementById(id)?.textContent)).toEqual([
      common.title,
      common.description,
    ]);
    expect((await renderPng(figure)).length).toBeGreaterThan(1000);
  });

  it('draws log axes, joined points, bars with intervals', () => {
    const points = [0.01, 0.1, 1].map((x) => ({ x, y: x * 2 }));
    const scatter = scatterChart({
      ...common,
      x: { label: 'KL', scale: 'log' },
      y: { label: 'reward' },
      series: [{ label: 'DPO', points }],
      connect: true,
    });
    expect(parse(scatter).querySelectorAll('circle')).toHaveLength(3);
    const ticks = [...parse(scatter).querySelectorAll('text')].map((node) => node.textContent);
    expect(ticks).toEqual(expect.arrayContaining(['0.01', '0.1', '1']));
    const bars = barChart({
      ...common,
      x: { label: 'win rate (%)' },
      bars: [
        { label: 'a & b', value: 57.6, low: 50, high: 60 },
        { label: 'c', value: 50 },
      ],
    });
    const words = [...parse(bars).querySelectorAll('text')].map((node) => node.textContent);
    expect(words).toContain('57.6');
    expect(words).toContain('a & b');
  });
});

/** The help's own example of a cell's name, and others of a sweep over three objectives, controls and βs. */
const cells = [
  'dpo',
  'mallows-theta',
  'mallows-theta, shuffled',
  'mallows-phi',
  'mallows-phi, shuffled',
  'ipo',
].flatMap((objective) => ['0.01', '0.05', '0.1'].map((beta) => `${objective}, beta ${beta}`));

const cloud = (names: readonly string[]) =>
  scatterChart({
    ...common,
    subtitle: 'a point a run',
    x: { label: 'on-policy KL (nats a completion)' },
    y: { label: 'rewards/accuracies' },
    series: names.map((label, i) => ({
      label,
      points: [0, 1, 2].map((seed) => ({ x: 1 + i / 10 + seed, y: 0.5 + 0.01 * i + 0.02 * seed })),
    })),
    connect: true,
  });

const curves = (names: readonly string[]) =>
  lineChart({
    ...common,
    x: { label: 'step' },
    y: { label: 'loss' },
    series: names.map((label, i) => ({ label, points: [0, 1].map((x) => ({ x, y: 0.7 - 0.001 * i * x })) })),
  });

const bars = (names: readonly string[]) =>
  barChart({
    ...common,
    x: { label: 'rewards/accuracies' },
    bars: names.map((label, i) => ({ label, value: 0.5 + i / 100 })),
  });

interface Box {
  readonly words: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Where each text of a figure lies in the PNG's own rendering, in units of the figure. */
function textBoxes(figure: Figure): Box[] {
  const count = parse(figure).querySelectorAll('text').length;
  return Array.from({ length: count }, (_, index) => {
    const document = parse(figure);
    const svg = document.querySelector('svg')!;
    const kept = document.querySelectorAll('text')[index]!;
    const words = [...kept.childNodes].map((node) => node.textContent).join(' ');
    for (const element of svg.querySelectorAll('*')) {
      if (!element.contains(kept) && !kept.contains(element)) element.remove();
    }
    const box = new Resvg(svg.outerHTML, { font: FONT }).getBBox()!;
    return { words, left: box.x, right: box.x + box.width, top: box.y, bottom: box.y + box.height };
  });
}

function expectReadable(figure: Figure, names: readonly string[]): void {
  const boxes = textBoxes(figure);
  for (const name of names)
    expect(
      boxes.map(({ words }) => words),
      name,
    ).toContain(name);
  for (const { words, left, right, top, bottom } of boxes) {
    expect(Math.min(left, top), words).toBeGreaterThanOrEqual(0);
    expect(right, words).toBeLessThanOrEqual(figure.width);
    expect(bottom, words).toBeLessThanOrEqual(figure.height);
  }
  for (const [index, a] of boxes.entries()) {
    for (const b of boxes.slice(index + 1)) {
      expect(apart(a, b), `${a.words} | ${b.words}`).toBe(true);
    }
  }
}

/** Ticks of an axis, as they are written. */
function ticks(figure: Figure, axis: 'x' | 'y'): string[] {
  const texts = parse(figure).querySelectorAll(`[aria-label="${axis}-axis tick label"] text`);
  return [...texts].map((node) => node.textContent!);
}

const box = (figure: Figure, words: string): Box => textBoxes(figure).find((one) => one.words === words)!;

function apart(a: Omit<Box, 'words'>, b: Omit<Box, 'words'>): boolean {
  return a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
}

/** Corners of every curve and every bar, in pixels. */
function drawn(figure: Figure): { bars: Omit<Box, 'words'>[]; curves: { x: number; y: number }[] } {
  const document = parse(figure);
  const bars = [...document.querySelectorAll('rect')].map((rect) => {
    const [left, top, width, height] = ['x', 'y', 'width', 'height'].map((name) =>
      Number(rect.getAttribute(name)),
    ) as [number, number, number, number];
    return { left, top, right: left + width, bottom: top + height };
  });
  const curves = [...document.querySelectorAll('g[aria-label="line"] path')].flatMap((path) =>
    [...path.getAttribute('d')!.matchAll(/([\d.]+),([\d.]+)/g)].map(([, x, y]) => ({
      x: Number(x),
      y: Number(y),
    })),
  );
  return { bars, curves };
}

describe('axes', () => {
  const flat = (y: number, range?: readonly [number, number]) =>
    lineChart({
      ...common,
      x: { label: 'step' },
      y: { label: 'y', ...(range && { range }) },
      series: [{ label: 'held out', points: [0, 4, 8].map((x) => ({ x, y })) }],
    });

  it('end where values do: shares within 0 and 1, what cannot be negative at 0', () => {
    expect(ticks(flat(1, [0, 1]), 'y').at(-1)).toBe('1.0');
    expect(ticks(flat(0, [0, 1]), 'y')[0]).toBe('0.0');
    expect(ticks(flat(0, [0, Number.POSITIVE_INFINITY]), 'y')[0]).toBe('0.0');
    expect(ticks(flat(0), 'y')[0]).toBe('−0.4');
    const one = scatterChart({
      ...common,
      x: { label: 'KL', range: [0, Number.POSITIVE_INFINITY] },
      y: { label: 'accuracy', range: [0, 1] },
      series: [{ label: 'dpo', points: [{ x: 0, y: 1 }] }],
    });
    expect([ticks(one, 'x')[0], ticks(one, 'y').at(-1)]).toEqual(['0.0', '1.0']);
    const bounded = barChart({
      ...common,
      x: { label: 'share', range: [0, 1] },
      bars: [{ label: 'a', value: 0.97, low: 0.9, high: 1.2 }],
    });
    expect(ticks(bounded, 'x').at(-1)).toBe('1.0');
  });

  it('write ticks so that they fit beside the frame, whatever the numbers', () => {
    const sloped = (scale: number, offset = 0) =>
      lineChart({
        ...common,
        x: { label: 'step' },
        y: { label: 'y' },
        series: [{ label: 'a', points: [0, 1, 2].map((x) => ({ x: x * 5e6, y: offset - scale * x })) }],
      });
    expect(ticks(sloped(2e-7), 'y')).toEqual(expect.arrayContaining(['−2e−7', '0']));
    expect(ticks(sloped(2e7), 'y')).toContain('−4e7');
    expect(ticks(sloped(0.001), 'y')).toContain('−0.0010');
    // Shorter in full than with an exponent: the frame makes room.
    expect(ticks(sloped(2e-7, 0.25), 'y')).toContain('0.2500000');
    for (const figure of [sloped(2e-7), sloped(2e7), sloped(0.001), sloped(2e-7, 0.25)])
      expectReadable(figure, ['a']);
  });
});

describe('labels of lines to compare with', () => {
  it.each([
    ['in the middle', (i: number) => Math.sin(i)],
    ['near the left', (i: number) => Math.exp(2 * Math.sin(i))],
    ['near the right', (i: number) => -Math.exp(2 * Math.sin(i))],
  ])('lie on no bar of a histogram: %s', (_, value) => {
    const values = Array.from({ length: 300 }, (_, i) => value(i));
    const at = values.reduce((sum, one) => sum + one, 0) / values.length;
    const figure = histogramChart({
      ...common,
      x: { label: 'w' },
      groups: [{ label: 'w', values }],
      references: [{ axis: 'x', value: at, label: 'mean of all' }],
    });
    const label = box(figure, 'mean of all');
    expect(drawn(figure).bars.every((bar) => apart(bar, label))).toBe(true);
    expectReadable(figure, ['mean of all']);
  });

  it('lie beside curves, on either side of the line', () => {
    for (const [side, end] of [
      [1, 0.1],
      [-1, 0.1],
      [1, 6],
    ] as const) {
      const points = Array.from({ length: 21 }, (_, x) => ({ x, y: side * (x < 14 ? 3 : end) }));
      const figure = lineChart({
        ...common,
        x: { label: 'step' },
        y: { label: 'margin', domain: [-7, 7] },
        series: [{ label: 'held out', points, dots: true }],
        references: [{ axis: 'y', value: 0, label: 'no difference' }],
      });
      const { left, right, top, bottom } = box(figure, 'no difference');
      const inside = drawn(figure).curves.filter(
        ({ x, y }) => x > left && x < right && y > top && y < bottom,
      );
      expect(inside, `${side} ${end}`).toEqual([]);
      expectReadable(figure, ['no difference', 'held out']);
    }
  });

  it('lie above the bars of a bar chart, and not on one another', () => {
    const figure = barChart({
      ...common,
      x: { label: 'difference' },
      bars: [
        { label: 'held-out accuracy', value: -0.2, low: -2, high: 1.7 },
        { label: 'margin', value: 3, low: 1, high: 5 },
      ],
      references: [
        { axis: 'x', value: 0, label: 'no difference' },
        { axis: 'x', value: 0.5, label: 'the least that matters' },
      ],
    });
    expectReadable(figure, ['no difference', 'the least that matters']);
    const highest = Math.min(...drawn(figure).bars.map(({ top }) => top));
    expect(box(figure, 'no difference').bottom).toBeLessThan(highest);
  });
});

/** What a reader tells series by: colour, dashes and shape of every line and point, the legend's samples left out. */
function looksIn(figure: Figure, mark: string): Set<string> {
  const groups = [...parse(figure).querySelectorAll(`g[aria-label="${mark}"]`)].slice(0, cells.length);
  return new Set(
    groups.map((group) =>
      [
        ['fill', 'stroke', 'stroke-dasharray'].map((name) => group.getAttribute(name)),
        group
          .querySelector('path')
          ?.getAttribute('d')
          ?.replace(/[\d.]+/g, '') ?? 'circle',
      ].join(' '),
    ),
  );
}

describe('figures of a sweep', () => {
  const long = [
    'dpo, beta 0.1',
    'mallows-theta, shuffled, beta 0.05',
    'mallows-phi, optimizer.lr 0.00002, lora.rank 16',
  ];

  it.each([
    ['points, few', cloud, long],
    ['points, six', cloud, cells.slice(0, 6)],
    ['points, eighteen', cloud, cells],
    ['lines, few', curves, long],
    ['lines, eighteen', curves, cells],
    ['bars', bars, cells],
    ['bars with a long name', bars, [...long, `runs/${'a-long-name/'.repeat(8)}`.slice(0, 60)]],
  ] as const)('keep every name whole, on the canvas and apart: %s', (_, draw, names) => {
    const figure = draw(names);
    const whole = names.filter((name) => !name.startsWith('runs/'));
    expectReadable(figure, whole);
  });

  it('tells eighteen series apart', () => {
    expect(looksIn(cloud(cells), 'dot').size).toBe(cells.length);
    expect(looksIn(cloud(cells), 'line').size).toBe(cells.length);
    expect(looksIn(curves(cells), 'line').size).toBe(cells.length);
  });

  it('keeps colours and dashes that were asked for, and gives no other series the same', () => {
    const looks = looksOf([
      {},
      { color: 'blue' },
      { color: 'grey', dashed: true },
      { color: 'grey', dashed: true },
      {},
    ]);
    expect(looks[1]).toEqual({ ink: LIGHT.blue, symbol: 'circle', dash: undefined });
    expect(looks[2]).toMatchObject({ ink: LIGHT.grey, dash: '5 4' });
    expect(looks[3]!.ink).toBe(LIGHT.grey);
    expect(new Set(looks.map((look) => JSON.stringify(look))).size).toBe(looks.length);
    const many = looksOf(Array.from({ length: 35 }, () => ({})));
    expect(new Set(many.map((look) => JSON.stringify(look))).size).toBe(35);
  });

  it('writes a taller picture where a legend is needed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'figure-'));
    try {
      const figure = cloud(cells);
      const { png, svg } = await writeFigure(directory, figure);
      const bytes = readFileSync(png);
      expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([2 * 520, 2 * figure.height]);
      expect(figure.height).toBeGreaterThan(320);
      for (const name of cells) expect(readFileSync(svg, 'utf8')).toContain(`>${name}<`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('text', () => {
  it('never takes more room than was reckoned with', () => {
    const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
    for (const word of [...printable, ...'éßñ…–—×≥αβφΔ', ...cells]) {
      const text = escapeHtml(word.length === 1 ? word.repeat(10) : word);
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="40"><text x="0" y="20" font-size="13" font-weight="600">${text}</text></svg>`;
      const measured = new Resvg(svg, { font: FONT }).getBBox()!.width;
      const reckoned = textWidth(word.length === 1 ? word.repeat(10) : word);
      expect(reckoned, word).toBeGreaterThanOrEqual(measured);
      if (word.length > 1) expect(reckoned, word).toBeLessThan(1.25 * measured);
    }
  });

  it('breaks between phrases or words, and in a word only where it is too wide by itself', () => {
    expect(wrapText('mallows-theta, shuffled, beta 0.05', 168)).toEqual([
      'mallows-theta,',
      'shuffled, beta 0.05',
    ]);
    expect(wrapText('mallows-theta, beta 0.05', 142)).toEqual(['mallows-theta,', 'beta 0.05']);
    expect(wrapText('short', 168)).toEqual(['short']);
    for (const line of wrapText(`runs/${'folder/'.repeat(20)}${'x'.repeat(60)}`, 168)) {
      expect(textWidth(line)).toBeLessThanOrEqual(168);
    }
    expect(wrapText(`runs/${'folder/'.repeat(20)}`, 168).join('')).toBe(`runs/${'folder/'.repeat(20)}`);
  });
});

describe('spread', () => {
  it('keeps labels apart by their heights and inside the frame', () => {
    const items = [100, 101, 102].map((y) => ({ y, height: 15 }));
    spread(items, 0, 127.5);
    expect(items.map((item) => item.y)).toEqual([90, 105, 120]);
    const mixed = [
      { y: 0, height: 30 },
      { y: 1, height: 15 },
    ];
    spread(mixed, 0, 100);
    expect(mixed.map((item) => item.y)).toEqual([15, 37.5]);
  });
});
