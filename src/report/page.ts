import { readFile } from 'node:fs/promises';
import type { Figure } from './figure.ts';
import { escapeHtml, type Html, type HtmlValue, html, trusted } from './html.ts';
import { LIGHT } from './palette.ts';
import { REPORT_STYLE } from './style.ts';

/** A number that deserves to be seen first. */
export interface Fact {
  readonly label: string;
  readonly value: string;
  /** Its interval, or what to compare it with. */
  readonly note?: string;
}

export interface ReportSection {
  readonly heading: string;
  readonly body: HtmlValue;
}

/** A report: what it says in words, then the evidence, settings and provenance last. */
export interface Report {
  readonly title: string;
  /** The kind of report, above the title: "Training report". */
  readonly kicker: string;
  readonly subtitle?: string;
  /** Plain sentences; the first is set larger. */
  readonly verdict: readonly string[];
  readonly facts?: readonly Fact[];
  readonly sections: readonly ReportSection[];
}

/**
 * One self-contained HTML document: no script, no request, fonts and figures inside. Its content policy forbids both,
 * so that text written by a model stays text.
 */
export async function renderReport(report: Report): Promise<string> {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; font-src data:; img-src data:">
<title>${report.title}</title>
<link rel="icon" href="data:,">
<style>${trusted(await fontFaces())}${trusted(REPORT_STYLE)}</style>
</head>
<body>
<div class="page">
<header>
<p class="kicker">${report.kicker}</p>
<h1>${report.title}</h1>
${report.subtitle !== undefined && html`<p class="subtitle">${report.subtitle}</p>`}
</header>
<main>
<section class="verdict" aria-label="Verdict">
${report.verdict.map((sentence) => html`<p>${sentence}</p>`)}
${report.facts !== undefined && factList(report.facts)}
</section>
${report.sections.map(
  (section) => html`<section>
<h2>${section.heading}</h2>
${section.body}
</section>`,
)}
</main>
<footer>Written by mallows. Everything on this page is inside this file.</footer>
</div>
</body>
</html>
`;
  return page.text;
}

function factList(facts: readonly Fact[]): Html {
  return html`<dl class="facts">${facts.map(
    ({ label, value, note }) =>
      html`<div><dt>${label}</dt><dd>${value}${note !== undefined && html`<small>${note}</small>`}</dd></div>`,
  )}</dl>`;
}

/** Figures side by side where there is room, each with an optional caption. */
export function figureGrid(
  figures: readonly { readonly figure: Figure; readonly caption?: HtmlValue }[],
): Html {
  return html`<div class="figures">${figures.map(
    ({ figure, caption }) =>
      html`<figure>${inlineSvg(figure)}${caption !== undefined && html`<figcaption>${caption}</figcaption>`}</figure>`,
  )}</div>`;
}

/** The figure as inline SVG whose colours follow the page's light or dark scheme. */
function inlineSvg(figure: Figure): Html {
  let svg = figure.svg;
  for (const [role, color] of Object.entries(LIGHT)) {
    svg = svg.replaceAll(`fill="${color}"`, `fill="var(--${role})"`);
    svg = svg.replaceAll(`stroke="${color}"`, `stroke="var(--${role})"`);
    svg = svg.replaceAll(`color: ${color}`, `color: var(--${role})`);
  }
  return trusted(svg);
}

export interface TableColumn {
  readonly heading: string;
  readonly numeric?: boolean;
}

export function dataTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly HtmlValue[])[],
  caption?: string,
): Html {
  const kind = (index: number): Html | false => columns[index]?.numeric === true && html` class="number"`;
  return html`<div class="scroll" tabindex="0"><table>
${caption !== undefined && html`<caption>${caption}</caption>`}
<thead><tr>${columns.map((column, index) => html`<th scope="col"${kind(index)}>${column.heading}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${row.map((cell, index) => html`<td${kind(index)}>${cell}</td>`)}</tr>`)}</tbody>
</table></div>`;
}

/** One prompt with two or more answers side by side. */
export interface SampleComparison {
  readonly prompt: string;
  readonly answers: readonly { readonly label: string; readonly text: string }[];
}

export function sampleComparisons(samples: readonly SampleComparison[]): Html {
  return html`${samples.map(
    ({ prompt, answers }) => html`<article class="pair">
<h3>${prompt}</h3>
<div class="sides">${answers.map(
      ({ label, text }) =>
        html`<div class="side"><h4>${label}</h4>${
          text.trim() === '' ? html`<p class="empty">(nothing)</p>` : html`<p>${text}</p>`
        }</div>`,
    )}</div>
</article>`,
  )}`;
}

async function fontFaces(): Promise<string> {
  const faces = await Promise.all(
    [
      ['Inter-Regular.woff2', 400],
      ['Inter-SemiBold.woff2', 600],
    ].map(async ([file, weight]) => {
      const bytes = await readFile(new URL(`../../assets/fonts/${file}`, import.meta.url));
      return `@font-face{font-family:Inter;font-weight:${weight};src:url(data:font/woff2;base64,${bytes.toString('base64')}) format("woff2")}`;
    }),
  );
  return faces.join('');
}

/** `key: value` lines in a monospaced block; for settings. */
export function preformatted(text: string): Html {
  return trusted(`<pre tabindex="0">${escapeHtml(text)}</pre>`);
}
