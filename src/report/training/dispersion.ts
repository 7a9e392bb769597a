import { mean, summarize } from '../../stats/index.ts';
import { histogramChart } from '../charts.ts';
import type { Figure } from '../figure.ts';
import { type Html, html } from '../html.ts';
import { dataTable, figureGrid, type ReportSection } from '../page.ts';
import type { PromptDispersion, UsedDispersion } from './contract.ts';
import type { ObjectiveFacts } from './objective.ts';
import { decimals } from './words.ts';

const SHOWN_PROMPTS = 10;

/** What the ends of w(x) are, in words. */
export interface DispersionEnds {
  /** Above the most dispersed prompts. */
  readonly most: string;
  readonly least: string;
}

interface SourceWords extends DispersionEnds {
  readonly from: string;
  /** The two ends of w(x), from low to high, under the histogram. */
  readonly axis: string;
  /** What a weight above 1 and one below it say. */
  readonly sides: string;
}

/** Where each source has w(x) from, and what its ends are. Only votes are opinions of people. */
const SOURCES: Readonly<Record<UsedDispersion['source'], SourceWords>> = {
  entropy: {
    from: 'the reference model’s entropies over the answers',
    axis: 'many answers would do ← → one answer, to the model',
    sides:
      'above 1 where the model is surer of the next words than on average, below 1 where it would accept many. Whether people differ there too is another question',
    most: 'Where the model would accept many answers',
    least: 'Where it sees one answer',
  },
  votes: {
    from: 'annotators’ votes',
    axis: 'annotators disagreed ← → agreed',
    sides: 'above 1 where annotators agreed more than on average, below 1 where they agreed less',
    most: 'Where annotators disagreed',
    least: 'Where they agreed',
  },
  column: {
    from: 'the data’s dispersion column',
    axis: 'opinions differ ← → settled, by the data’s column',
    sides:
      'above 1 where the column says that the answer is settled, below 1 where it says that opinions differ',
    most: 'Where the data say that opinions differ',
    least: 'Where they say that the answer is settled',
  },
};

/** What the ends of w(x) are, the most dispersed prompts first. */
export function dispersionEnds(source: UsedDispersion['source']): DispersionEnds {
  const { most, least } = SOURCES[source];
  return { most, least };
}

/** What a histogram of w(x) is of. */
export interface DispersionSubject {
  /** Of what there are weights: `training pairs`. */
  readonly of: string;
  readonly source: UsedDispersion['source'];
  /** Dealt to the prompts at random. Default false. */
  readonly shuffled?: boolean;
}

/** The histogram of w(x), shared by the training report and `mallows dispersion`. */
export function dispersionHistogram(values: readonly number[], subject: DispersionSubject): Figure {
  const { of, source, shuffled = false } = subject;
  const { mean: average, sd, skew } = summarize(values);
  return histogramChart({
    name: 'dispersion',
    title: 'Neg-log dispersion of the prompts',
    subtitle: `${values.length} ${of}${shuffled ? ', shuffled' : ''}, sd ${decimals(sd, 3)}, skew ${decimals(skew, 2)}`,
    description: `Histogram of w(x): mean ${decimals(average, 3)}, standard deviation ${decimals(sd, 3)}, skewness ${decimals(skew, 2)}.`,
    x: { label: `w(x): ${shuffled ? 'dealt to the prompts at random' : SOURCES[source].axis}` },
    groups: [{ label: 'w', values }],
    references: [{ axis: 'x', value: average, label: `mean ${decimals(average, 2)}` }],
  });
}

/** The weights of the training pairs: where they come from, how they are spread, and which prompts are at the ends. */
export function dispersionSection(
  figure: Figure,
  { prompts, phiStar, source, shuffled }: UsedDispersion,
  objective: ObjectiveFacts | undefined,
): ReportSection {
  const { from, sides } = SOURCES[source];
  const scale = `${useWords(objective)} Its mean is 1 by the choice φ* = ${decimals(phiStar, 4)}.`;
  return {
    heading: 'Dispersion',
    body: shuffled
      ? html`<p>This run is a control. ${scale} The weights come from ${from}, but were dealt to the prompts at random: which
prompt has which weight says nothing about it, so none are listed.</p>
${figureGrid([{ figure }])}`
      : html`<p>${scale} It comes from ${from}: ${sides}.</p>
${figureGrid([{ figure }])}
${extremePrompts(prompts, source)}`,
  };
}

function useWords(objective: ObjectiveFacts | undefined): string {
  switch (objective?.dispersionEnters) {
    case 'scale':
      return 'w(x) scales each pair’s margin.';
    case 'link':
      return 'w(x) scales each pair’s −log φ.';
    default:
      return 'The objective weighs each pair by w(x).';
  }
}

function extremePrompts(prompts: readonly PromptDispersion[], source: UsedDispersion['source']): Html {
  const sorted = byPrompt(prompts.map(({ prompt, negLogDispersion }) => ({ prompt, w: negLogDispersion })));
  const { most, least } = dispersionEnds(source);
  const table = (caption: string, rows: readonly WeighedPrompt[]) =>
    dataTable(
      [{ heading: 'w', numeric: true }, { heading: 'Prompt' }],
      rows.slice(0, SHOWN_PROMPTS).map(({ w, prompt }) => [decimals(w, 2), shorten(prompt, 240)]),
      caption,
    );
  return html`<div class="columns">
<div><h3>Most dispersed prompts</h3>${table(most, sorted)}</div>
<div><h3>Least dispersed prompts</h3>${table(least, sorted.toReversed())}</div>
</div>`;
}

export interface WeighedPrompt {
  readonly prompt: string;
  readonly w: number;
}

/** Each prompt once with the mean weight of its pairs, smallest first: best-of-n data repeat prompts. */
export function byPrompt(pairs: readonly WeighedPrompt[]): WeighedPrompt[] {
  const weights = new Map<string, number[]>();
  for (const { prompt, w } of pairs) {
    const those = weights.get(prompt);
    if (those === undefined) weights.set(prompt, [w]);
    else those.push(w);
  }
  return Array.from(weights, ([prompt, those]) => ({ prompt, w: mean(those) })).sort(
    (one, other) => one.w - other.w,
  );
}

function shorten(text: string, length: number): string {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  return characters.length <= length ? characters.join('') : `${characters.slice(0, length - 1).join('')}…`;
}
