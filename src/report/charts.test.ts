import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { barChart, histogram, lineChart, scatterChart } from './charts.ts';
import { type Figure, renderPng } from './figure.ts';
import { spread } from './labels.ts';

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

  it('draws histograms, also of values that are all equal', () => {
    const figure = histogram({ ...common, x: { label: 'w' }, groups: [{ label: 'all', values: [1, 1, 1] }] });
    expect(figure.svg).toContain('<rect');
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

describe('spread', () => {
  it('keeps labels a line apart and inside the frame', () => {
    const items = [{ y: 100 }, { y: 101 }, { y: 102 }];
    spread(items, 0, 120);
    expect(items.map((item) => item.y)).toEqual([90, 105, 120]);
  });
});
