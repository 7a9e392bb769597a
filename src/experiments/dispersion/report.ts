import {
  dataTable,
  type Figure,
  figureGrid,
  type Html,
  histogramChart,
  html,
  type ReportSection,
  renderReport,
} from '../../report/index.ts';
import { claimTable } from '../shared/claim-table.ts';
import { writeExperiment } from '../shared/write-report.ts';
import type { DispersionOfData, DispersionReport, PromptWeight } from './contract.ts';

/** Figures 1 and 7: all distributions over one another, and each by itself. */
export function dispersionFigures({ data, settings }: DispersionReport): Figure[] {
  const groups = data.map(({ label, weights }) => ({ label, values: weights }));
  const x = { label: 'neg-log dispersion estimate w (mean 1)' };
  const references = [{ axis: 'x', value: 1, label: 'mean 1' }] as const;
  const each = data.map((one) =>
    histogramChart({
      name: `dispersion-${slug(one.label)}`,
      title: one.label,
      subtitle: `${one.shape.count} rows, sd ${one.shape.sd.estimate.toFixed(3)}, skew ${one.shape.skew.estimate.toFixed(2)}`,
      description: `Distribution of w on ${one.label} under ${settings.model}.`,
      x,
      groups: [{ label: one.label, values: one.weights }],
      references,
    }),
  );
  if (data.length < 2) return each;
  const together = histogramChart({
    name: 'dispersion',
    title: 'Figure 1: dispersion of the prompts',
    subtitle: `estimated by ${settings.model}`,
    description: `Distributions of w on ${data.map(({ label }) => label).join(', ')}, over one another.`,
    x,
    groups,
    references,
  });
  return [together, ...each];
}

export async function dispersionPage(report: DispersionReport, figures: readonly Figure[]): Promise<string> {
  const { data, settings, claims, findings } = report;
  const held = claims.filter(({ verdict }) => verdict === 'reproduced').length;
  return renderReport({
    kicker: 'Reproduction',
    title: 'How dispersed preferences are, by data set',
    subtitle: 'Section 5.1, Figures 1 and 7, Tables 2 and 3',
    verdict: [
      claims.length === 0
        ? 'None of the paper’s data sets is among these.'
        : `${held} of ${claims.length} statements about IMDB and HH hold under ${settings.model}.`,
      ...findings,
    ],
    sections: [
      ...(claims.length > 0 ? [{ heading: 'The paper beside this run', body: claimTable(claims) }] : []),
      {
        heading: 'Distributions of w',
        body: html`${figureGrid(figures.map((figure) => ({ figure })))}${shapeTable(data)}`,
      },
      ...data.flatMap(promptSection),
      ...data.flatMap(agreementSection),
      { heading: 'Settings', body: settingsText(report) },
    ],
  });
}

function shapeTable(data: readonly DispersionOfData[]): Html {
  return dataTable(
    [
      { heading: 'Data' },
      { heading: 'Rows', numeric: true },
      { heading: 'φ*', numeric: true },
      { heading: 'sd (95 % interval)', numeric: true },
      { heading: 'Skew (95 % interval)', numeric: true },
      { heading: 'Peak', numeric: true },
      { heading: '5 % to 95 %', numeric: true },
      { heading: 'In .8 to 1.2', numeric: true },
    ],
    data.map(({ label, phiStar, shape: { count, sd, skew, peak, quantiles, within } }) => [
      label,
      count,
      phiStar.toFixed(3),
      `${sd.estimate.toFixed(3)} (${sd.low.toFixed(3)} to ${sd.high.toFixed(3)})`,
      `${skew.estimate.toFixed(2)} (${skew.low.toFixed(2)} to ${skew.high.toFixed(2)})`,
      peak.toFixed(2),
      `${quantiles[1].toFixed(2)} to ${quantiles[3].toFixed(2)}`,
      `${(100 * within).toFixed(1)} %`,
    ]),
  );
}

const SHOWN_CHARACTERS = 240;

/** Tables 2 and 3. */
function promptSection({ label, mostDispersed, leastDispersed }: DispersionOfData): ReportSection[] {
  const table = (caption: string, prompts: readonly PromptWeight[]): Html =>
    dataTable(
      [{ heading: 'w', numeric: true }, { heading: 'Prompt' }],
      prompts.map(({ w, prompt }) => [w.toFixed(3), shorten(prompt)]),
      caption,
    );
  return [
    {
      heading: `${label}: the ends of the scale`,
      body: html`${table('Most dispersed: many answers would do (smallest w)', mostDispersed)}${table('Least dispersed: one answer is expected (largest w)', leastDispersed)}`,
    },
  ];
}

function agreementSection({ label, agreement }: DispersionOfData): ReportSection[] {
  if (agreement === undefined) return [];
  return [
    {
      heading: `${label}: w and what people said`,
      body: dataTable(
        [
          { heading: 'Annotator pairs that agree', numeric: true },
          { heading: 'Rows', numeric: true },
          { heading: 'Mean w', numeric: true },
        ],
        agreement.levels.map(({ agreement: share, rows, mean }) => [
          `${(100 * share).toFixed(0)} %`,
          rows,
          mean.toFixed(3),
        ]),
      ),
    },
  ];
}

function settingsText({ settings, data }: DispersionReport): Html {
  const reviews = data.some(({ kind }) => kind === 'reviews');
  const answers =
    settings.reviewAnswers === 'sampled'
      ? `two answers of at most ${settings.maxNewTokens} tokens are sampled from the model at temperature 1 (seed ${settings.seed})`
      : 'the rest of the review stands for both answers';
  return html`<p>Model ${settings.model} (${settings.modelHash.slice(0, 12)}), vocabulary of ${settings.vocabularySize}, computed in ${settings.dtype}; at most ${settings.maxLength} tokens a pair${settings.rows !== null && `; ${settings.rows} usable rows of each data set, drawn at random (seed ${settings.seed}), or all that there are`}. φ* is fitted on each data set by itself, so that w has mean 1 on each.</p>${
    reviews &&
    html`<p>A review is no pair. Its first ${settings.openingWords} words are the prompt, and ${answers}.</p>`
  }${dataTable(
    [
      { heading: 'Data' },
      { heading: 'File' },
      { heading: 'Layout' },
      { heading: 'Rows left out', numeric: true },
    ],
    data.map(({ label, source, format, badRows }) => [label, source, format, badRows]),
  )}`;
}

function shorten(text: string): string {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  return characters.length <= SHOWN_CHARACTERS
    ? characters.join('')
    : `${characters.slice(0, SHOWN_CHARACTERS - 1).join('')}…`;
}

function slug(label: string): string {
  return (
    label
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'data'
  );
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeDispersionReport(directory: string, report: DispersionReport): Promise<string[]> {
  const figures = dispersionFigures(report);
  return writeExperiment(directory, report, figures, await dispersionPage(report, figures));
}
