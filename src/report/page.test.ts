import fc from 'fast-check';
import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { lineChart } from './charts.ts';
import { escapeHtml, html } from './html.ts';
import { dataTable, figureGrid, renderReport, sampleComparisons } from './page.ts';

const hostile = '</style><script>alert(1)</script><img src=x onerror="alert(2)">';

describe('html', () => {
  it('escapes what is interpolated, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { document } = parseHTML(`<html><body>${html`<p title="${text}">${text}</p>`}</body></html>`);
        expect(document.querySelectorAll('body *')).toHaveLength(1);
        expect(escapeHtml(text)).not.toMatch(/[<>"]/);
      }),
    );
  });

  it('leaves nested markup alone and drops absent values', () => {
    expect(html`<ul>${['a', '<b>'].map((x) => html`<li>${x}</li>`)}${undefined}${false}</ul>`.text).toBe(
      '<ul><li>a</li><li>&lt;b&gt;</li></ul>',
    );
  });
});

describe('renderReport', () => {
  it('is self-contained and treats model output as text', async () => {
    const figure = lineChart({
      name: 'loss',
      title: hostile,
      description: hostile,
      x: { label: 'step' },
      y: { label: hostile },
      series: [{ label: hostile, points: [{ x: 0, y: 1 }] }],
    });
    const page = await renderReport({
      kicker: 'Test',
      title: hostile,
      verdict: [hostile],
      facts: [{ label: hostile, value: '1', note: hostile }],
      sections: [
        {
          heading: hostile,
          body: html`${figureGrid([{ figure, caption: hostile }])}${dataTable([{ heading: hostile, numeric: true }], [[hostile]])}${sampleComparisons(
            [{ prompt: hostile, answers: [{ label: hostile, text: hostile }] }],
          )}`,
        },
      ],
    });
    const { document } = parseHTML(page);
    expect(document.querySelectorAll('script, img, iframe, object')).toHaveLength(0);
    expect(document.querySelectorAll('svg')).toHaveLength(1);
    expect(page).not.toMatch(/(src|href)="?http/);
    expect(document.querySelector('h1')?.textContent).toBe(hostile);
  });

  it('colours figures by the page scheme', () => {
    const figure = lineChart({
      name: 'loss',
      title: 't',
      description: 'd',
      x: { label: 'step' },
      y: { label: 'y' },
      series: [
        {
          label: 's',
          points: [
            { x: 0, y: 1 },
            { x: 1, y: 2 },
          ],
        },
      ],
    });
    const inline = figureGrid([{ figure }]).text;
    expect(inline).toContain('stroke="var(--blue)"');
    expect(inline).not.toMatch(/(fill|stroke)="#/);
  });
});
