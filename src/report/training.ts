import { clusterBootstrap, type Interval, type Summary, summarize } from '../stats/index.ts';
import { histogram, lineChart, type Point } from './charts.ts';
import type { Figure } from './figure.ts';
import { type Html, html } from './html.ts';
import {
  dataTable,
  type Fact,
  figureGrid,
  preformatted,
  type ReportSection,
  renderReport,
  sampleComparisons,
} from './page.ts';

type MetricsLine = { readonly step: number } & Readonly<Record<string, number | null>>;

/** What every held-out pair became, before training and after it, in the same order. */
export interface HeldOutPairs {
  /** Names each pair's prompt. Intervals are over prompts: pairs that share one are not independent. */
  readonly prompts: readonly string[];
  readonly lossesBefore: Float64Array;
  readonly lossesAfter: Float64Array;
  /** 1 where the chosen completion has the higher reward, ½ where they tie. */
  readonly correctAfter: Float64Array;
}

export interface PromptDispersion {
  readonly id: string;
  readonly prompt: string;
  /** w(x): below 1 people would disagree, above 1 they would agree. */
  readonly negLogDispersion: number;
}

export interface TrainingReportInput {
  /** What was trained and how, in a few words. */
  readonly title: string;
  readonly subtitle: string;
  readonly metrics: readonly MetricsLine[];
  /** False when the run stopped before its last step. */
  readonly finished: boolean;
  readonly heldOut?: HeldOutPairs;
  /** w(x) of the training pairs and φ*, where the objective uses them. */
  readonly dispersion?: {
    readonly prompts: readonly PromptDispersion[];
    readonly phiStar: number | undefined;
  };
  readonly samples: readonly { readonly prompt: string; readonly before: string; readonly after: string }[];
  /** `recipe.yaml`. */
  readonly recipe: string;
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface TrainingReport {
  readonly html: string;
  readonly figures: readonly Figure[];
  /** `report.json`. */
  readonly numbers: TrainingNumbers;
}

export interface TrainingNumbers {
  readonly finished: boolean;
  readonly steps: number;
  readonly verdict: readonly string[];
  readonly heldOut?: {
    readonly pairs: number;
    readonly prompts: number;
    readonly lossBefore: number;
    readonly loss: Bound;
    readonly lossChange: Bound;
    readonly accuracy: Bound;
    /** Whether the upper end of the loss's interval is below ln 2. */
    readonly belowLn2: boolean;
  };
  readonly dispersion?: Summary & { readonly phiStar: number | undefined };
  readonly final: Readonly<Record<string, number | null>>;
}

interface Bound {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

const SEED = 'training-report';
const SHOWN_PROMPTS = 10;

/** Turns a run's numbers into words, figures and a page. A pure function: the same run gives the same bytes. */
export async function trainingReport(input: TrainingReportInput): Promise<TrainingReport> {
  const numbers = summarizeRun(input);
  const curves = curveFigures(input.metrics);
  const dispersion = dispersionFigure(input);
  const sections: ReportSection[] = [
    { heading: 'Learning curves', body: html`${figureGrid(curves)}${ratioWords(input.metrics)}` },
    ...(input.samples.length === 0 ? [] : [sampleSection(input)]),
    ...(dispersion === undefined ? [] : [dispersionSection(dispersion, input, numbers)]),
    { heading: 'Settings', body: preformatted(input.recipe.trimEnd()) },
    { heading: 'Provenance', body: provenanceTable(input.provenance) },
  ];
  const page = await renderReport({
    kicker: 'Training report',
    title: input.title,
    subtitle: input.subtitle,
    verdict: numbers.verdict,
    facts: facts(numbers),
    sections,
  });
  const figures = [...curves.map(({ figure }) => figure), ...(dispersion === undefined ? [] : [dispersion])];
  return { html: page, figures, numbers };
}

function summarizeRun(input: TrainingReportInput): TrainingNumbers {
  const last = input.metrics.at(-1);
  const { heldOut, dispersion } = input;
  const base = {
    finished: input.finished,
    steps: last?.step ?? 0,
    final: last ?? {},
    ...(dispersion === undefined
      ? {}
      : {
          dispersion: {
            ...summarize(dispersion.prompts.map((prompt) => prompt.negLogDispersion)),
            phiStar: dispersion.phiStar,
          },
        }),
  };
  if (heldOut === undefined || heldOut.prompts.length === 0) {
    return {
      ...base,
      verdict: unfinished(input, ['No held-out pairs: whether the model learnt is not known.']),
    };
  }
  if (new Set(heldOut.prompts).size === 1) {
    const words = `All held-out pairs (${heldOut.prompts.length}) are of one prompt: whether the model learnt anything about others is not known.`;
    return { ...base, verdict: unfinished(input, [words]) };
  }
  const { prompts, lossesBefore, lossesAfter, correctAfter } = heldOut;
  const overPrompts = (values: Float64Array) => bound(clusterBootstrap(values, prompts, { seed: SEED }));
  const loss = overPrompts(lossesAfter);
  const lossChange = overPrompts(lossesAfter.map((after, pair) => after - lossesBefore[pair]!));
  const accuracy = overPrompts(correctAfter);
  const measured = {
    pairs: lossesAfter.length,
    prompts: new Set(prompts).size,
    lossBefore: loss.estimate - lossChange.estimate,
    loss,
    lossChange,
    accuracy,
    belowLn2: loss.high < Math.LN2,
  };
  return { ...base, heldOut: measured, verdict: unfinished(input, verdict(measured)) };
}

function unfinished(input: TrainingReportInput, words: readonly string[]): string[] {
  return input.finished ? [...words] : ['The run was interrupted: these are its numbers so far.', ...words];
}

function verdict(measured: NonNullable<TrainingNumbers['heldOut']>): string[] {
  const { pairs, prompts, loss, lossBefore, lossChange, accuracy } = measured;
  const on = `on ${pairs} held-out pairs${prompts < pairs ? ` of ${prompts} prompts` : ''}`;
  const from =
    Math.abs(lossBefore - Math.LN2) < 5e-4
      ? 'ln 2 = 0.693, the loss of knowing nothing,'
      : decimals(lossBefore, 3);
  const range = `95 % interval ${decimals(loss.low, 3)} to ${decimals(loss.high, 3)}`;
  const change =
    lossChange.high < 0
      ? `The model learnt the preference: ${on} the loss fell from ${from} to ${decimals(loss.estimate, 3)} (${range}).`
      : lossChange.low > 0
        ? `The model got worse: ${on} the loss rose from ${from} to ${decimals(loss.estimate, 3)} (${range}).`
        : `No effect beyond chance: ${on} the loss went from ${from} to ${decimals(loss.estimate, 3)} (${range}).`;
  const better =
    accuracy.low > 0.5
      ? 'more often than chance'
      : accuracy.high < 0.5
        ? 'less often than chance'
        : 'which chance alone could give';
  return [
    change,
    `It gives the chosen answer the higher reward in ${percent(accuracy.estimate)} of them ` +
      `(95 % interval ${percent(accuracy.low)} to ${percent(accuracy.high)}), ${better}.`,
  ];
}

function facts({ heldOut, final, steps }: TrainingNumbers): Fact[] {
  const margin = final['eval_rewards/margins'];
  return [
    ...(heldOut === undefined
      ? []
      : [
          {
            label: 'Held-out loss',
            value: decimals(heldOut.loss.estimate, 3),
            note: `${decimals(heldOut.loss.low, 3)} to ${decimals(heldOut.loss.high, 3)}; ln 2 is 0.693`,
          },
          {
            label: 'Held-out accuracy',
            value: percent(heldOut.accuracy.estimate),
            note: `${percent(heldOut.accuracy.low)} to ${percent(heldOut.accuracy.high)}`,
          },
        ]),
    ...(typeof margin === 'number'
      ? [{ label: 'Held-out margin', value: decimals(margin, 3), note: 'reward of chosen − rejected' }]
      : []),
    { label: 'Updates', value: String(steps) },
  ];
}

interface Captioned {
  readonly figure: Figure;
  readonly caption: string;
}

function curveFigures(metrics: readonly MetricsLine[]): Captioned[] {
  const curve = (name: string, title: string, label: string, key: string, reference?: [number, string]) =>
    trainAndHeldOut(metrics, { name, title, label, key, ...(reference === undefined ? {} : { reference }) });
  return [
    {
      figure: curve('loss', 'Loss', 'loss (nats a pair)', 'loss', [Math.LN2, 'ln 2']),
      caption:
        'Lower is better. Training loss is the mean of one batch and jumps with it; held-out loss decides.',
    },
    {
      figure: curve('margin', 'Margin', 'reward of chosen − rejected', 'rewards/margins', [
        0,
        'no difference',
      ]),
      caption: 'How far apart the model holds the two answers: β times the difference of their log-ratios.',
    },
    {
      figure: curve('accuracy', 'Accuracy', 'share of pairs', 'rewards/accuracies', [0.5, 'chance']),
      caption: 'How often the chosen answer has the higher reward; a tie counts one half.',
    },
    {
      figure: ratioFigure(metrics),
      caption:
        'How much more or less likely than under the reference each kind of answer became. The margin is their difference.',
    },
  ].filter((item): item is Captioned => item.figure !== undefined);
}

function trainAndHeldOut(
  metrics: readonly MetricsLine[],
  chart: { name: string; title: string; label: string; key: string; reference?: [number, string] },
): Figure | undefined {
  const training = pointsOf(metrics, chart.key);
  const heldOut = pointsOf(metrics, `eval_${chart.key}`);
  if (training.length === 0 && heldOut.length === 0) return undefined;
  return lineChart({
    name: chart.name,
    title: chart.title,
    description: `${chart.title} by step: ${describeCurve('training', training)}; ${describeCurve('held-out', heldOut)}.`,
    x: { label: 'step' },
    y: { label: chart.label },
    series: [
      { label: 'training', points: training, color: 'grey' as const },
      {
        label: 'held out',
        points: heldOut,
        band: intervalOf(metrics, `eval_${chart.key}`),
        color: 'blue' as const,
        dots: true,
      },
    ].filter((series) => series.points.length > 0),
    ...(chart.reference === undefined
      ? {}
      : { references: [{ axis: 'y' as const, value: chart.reference[0], label: chart.reference[1] }] }),
  });
}

function ratioFigure(metrics: readonly MetricsLine[]): Figure | undefined {
  const heldOut = pointsOf(metrics, 'eval_log_ratio/chosen').length > 1;
  const prefix = heldOut ? 'eval_' : '';
  const chosen = pointsOf(metrics, `${prefix}log_ratio/chosen`);
  const rejected = pointsOf(metrics, `${prefix}log_ratio/rejected`);
  if (chosen.length === 0) return undefined;
  return lineChart({
    name: 'log-ratios',
    title: 'Chosen and rejected apart',
    subtitle: heldOut ? 'held-out pairs' : 'training pairs',
    description: `Log-ratio to the reference by step: ${describeCurve('chosen', chosen)}; ${describeCurve('rejected', rejected)}.`,
    x: { label: 'step' },
    y: { label: 'log π − log π_ref (nats an answer)' },
    series: [
      { label: 'chosen', points: chosen, color: 'green', dots: heldOut },
      { label: 'rejected', points: rejected, color: 'orange', dots: heldOut },
    ],
    references: [{ axis: 'y', value: 0, label: 'reference' }],
  });
}

/** The question that users of preference tuning ask most. */
function ratioWords(metrics: readonly MetricsLine[]): Html | undefined {
  const chosen =
    pointsOf(metrics, 'eval_log_ratio/chosen').at(-1) ?? pointsOf(metrics, 'log_ratio/chosen').at(-1);
  if (chosen === undefined) return undefined;
  return chosen.y < 0
    ? html`<h3>Why do the chosen answers become less likely too?</h3>
<p>That is common and not an error: the loss only asks that rejected answers fall faster, and the probability goes to
answers outside the data. If the samples below read worse, raise β, train for fewer steps, or add the likelihood term
(objective rpo).</p>`
    : html`<p>Here the chosen answers became more likely than under the reference.</p>`;
}

function sampleSection(input: TrainingReportInput): ReportSection {
  return {
    heading: 'Before and after',
    body: html`<p>The same held-out prompts, answered greedily by the model before training and after it.</p>${sampleComparisons(
      input.samples.map(({ prompt, before, after }) => ({
        prompt,
        answers: [
          { label: 'Before', text: before },
          { label: 'After', text: after },
        ],
      })),
    )}`,
  };
}

function dispersionFigure({ dispersion }: TrainingReportInput): Figure | undefined {
  if (dispersion === undefined) return undefined;
  const values = dispersion.prompts.map((prompt) => prompt.negLogDispersion);
  return dispersionHistogram(values, 'training pairs');
}

/** The histogram of w(x), shared by the training report and `mallows dispersion`. */
export function dispersionHistogram(values: readonly number[], subject: string): Figure {
  const { mean, sd, skew } = summarize(values);
  return histogram({
    name: 'dispersion',
    title: 'Neg-log dispersion of the prompts',
    subtitle: `${values.length} ${subject}, sd ${decimals(sd, 3)}, skew ${decimals(skew, 2)}`,
    description: `Histogram of w(x): mean ${decimals(mean, 3)}, standard deviation ${decimals(sd, 3)}, skewness ${decimals(skew, 2)}.`,
    x: { label: 'w(x): opinions differ ← → answers agree' },
    groups: [{ label: 'w', values }],
    references: [{ axis: 'x', value: mean, label: `mean ${decimals(mean, 2)}` }],
  });
}

function dispersionSection(
  figure: Figure,
  input: TrainingReportInput,
  numbers: TrainingNumbers,
): ReportSection {
  const sorted = [...input.dispersion!.prompts].sort((a, b) => a.negLogDispersion - b.negLogDispersion);
  const table = (caption: string, prompts: readonly PromptDispersion[]) =>
    dataTable(
      [{ heading: 'w', numeric: true }, { heading: 'Prompt' }],
      prompts.map(({ negLogDispersion, prompt }) => [decimals(negLogDispersion, 2), shorten(prompt, 240)]),
      caption,
    );
  const phiStar = numbers.dispersion?.phiStar;
  return {
    heading: 'Dispersion',
    body: html`<p>w(x) scales each pair's loss: above 1 where the answer is settled, below 1 where opinions differ.
${phiStar !== undefined && `Its mean is 1 by the choice φ* = ${decimals(phiStar, 4)}.`}</p>
${figureGrid([{ figure }])}
<div class="columns">
<div><h3>Most dispersed prompts</h3>${table('Where the model would accept many answers', distinct(sorted).slice(0, SHOWN_PROMPTS))}</div>
<div><h3>Least dispersed prompts</h3>${table('Where it sees one answer', distinct(sorted.toReversed()).slice(0, SHOWN_PROMPTS))}</div>
</div>`,
  };
}

function provenanceTable(provenance: Readonly<Record<string, unknown>>) {
  return dataTable(
    [{ heading: 'What' }, { heading: 'Value' }],
    Object.entries(provenance).map(([key, value]) => [
      key,
      html`<code>${typeof value === 'string' ? value : JSON.stringify(value)}</code>`,
    ]),
  );
}

function pointsOf(metrics: readonly MetricsLine[], key: string): Point[] {
  return metrics.flatMap((line) => {
    const y = line[key];
    return typeof y === 'number' ? [{ x: line.step, y }] : [];
  });
}

function intervalOf(
  metrics: readonly MetricsLine[],
  key: string,
): { x: number; low: number; high: number }[] {
  return metrics.flatMap((line) => {
    const [low, high] = [line[`${key}/low`], line[`${key}/high`]];
    return typeof low === 'number' && typeof high === 'number' ? [{ x: line.step, low, high }] : [];
  });
}

/** One entry a prompt, the first of each: best-of-n data repeat them. */
function distinct(prompts: readonly PromptDispersion[]): PromptDispersion[] {
  return [...new Map(prompts.toReversed().map((one) => [one.prompt, one])).values()].toReversed();
}

function describeCurve(label: string, points: readonly Point[]): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return `${label} not measured`;
  return `${label} from ${decimals(first.y, 3)} to ${decimals(last.y, 3)}`;
}

function bound({ estimate, low, high }: Interval): Bound {
  return { estimate, low, high };
}

function decimals(value: number, digits: number): string {
  return value.toFixed(digits).replace('-', '−');
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)}\u00a0%`;
}

function shorten(text: string, length: number): string {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  return characters.length <= length ? characters.join('') : `${characters.slice(0, length - 1).join('')}…`;
}
