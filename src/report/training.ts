import type { DispersionSource } from '../objectives/index.ts';
import { clusterBootstrap, type Interval, mean, type Summary, summarize } from '../stats/index.ts';
import { histogramChart, lineChart, type Point } from './charts.ts';
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

/** A line of `metrics.jsonl`. */
export type MetricsLine = { readonly step: number } & Readonly<Record<string, number | null>>;

/** What every held-out pair became, before training and after it, in the same order. */
export interface HeldOutPairs {
  /** Names each pair's prompt. Intervals are over prompts: pairs that share one are not independent. */
  readonly prompts: readonly string[];
  readonly lossesBefore: Float64Array;
  readonly lossesAfter: Float64Array;
  /** Implicit reward of the chosen completion minus that of the rejected one. */
  readonly marginsBefore: Float64Array;
  readonly marginsAfter: Float64Array;
  /** 1 where the chosen completion has the higher reward, ½ where they tie. */
  readonly correctAfter: Float64Array;
}

export interface PromptDispersion {
  readonly id: string;
  readonly prompt: string;
  /** w(x): below 1 people would disagree, above 1 they would agree. */
  readonly negLogDispersion: number;
}

/** w(x) of the training pairs, as training used them. */
export interface UsedDispersion {
  readonly prompts: readonly PromptDispersion[];
  readonly phiStar: number;
  readonly source: Exclude<DispersionSource, 'none'>;
  /** The control: the weights were dealt to the prompts at random, so a prompt's w says nothing about it. */
  readonly shuffled: boolean;
}

export interface TrainingReportInput {
  /** Preference tuning is judged by `heldOut`, supervised fine-tuning by the held-out loss in its metrics. */
  readonly method: 'preference' | 'sft';
  /** What was trained and how, in a few words. */
  readonly title: string;
  readonly subtitle: string;
  readonly metrics: readonly MetricsLine[];
  /** False when the run stopped before its last step. */
  readonly finished: boolean;
  readonly heldOut?: HeldOutPairs;
  /** Where the objective uses it. */
  readonly dispersion?: UsedDispersion;
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
    readonly loss: Estimate;
    readonly lossChange: Estimate;
    readonly marginBefore: number;
    readonly marginChange: Estimate;
    readonly accuracy: Estimate;
    /** Whether the upper end of the loss's interval is below ln 2; absent where the loss did not start there. */
    readonly belowLn2?: boolean;
  };
  /** Of supervised fine-tuning: the loss of held-out tokens at the first evaluation and the last, nats. */
  readonly heldOutTexts?: { readonly before: HeldOutLoss; readonly after: HeldOutLoss };
  readonly dispersion?: Summary & Pick<UsedDispersion, 'phiStar' | 'source' | 'shuffled'>;
  readonly final: Readonly<Record<string, number | null>>;
}

/** A number with its interval. */
export interface Estimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** A mean over held-out texts; without an interval where they have one prompt. */
export interface HeldOutLoss {
  readonly step: number;
  readonly loss: number;
  readonly interval?: readonly [low: number, high: number];
}

const SEED = 'training-report';
const SHOWN_PROMPTS = 10;

/** Turns a run's numbers into words, figures and a page. A pure function: the same run gives the same bytes. */
export async function trainingReport(input: TrainingReportInput): Promise<TrainingReport> {
  const numbers = summarizeRun(input);
  const curves = curveFigures(input);
  const dispersion = dispersionFigure(input);
  const sections: ReportSection[] = [
    { heading: 'Learning curves', body: html`${figureGrid(curves)}${ratioWords(input.metrics)}` },
    ...(input.samples.length === 0 ? [] : [sampleSection(input)]),
    ...(dispersion === undefined ? [] : [dispersionSection(dispersion, input.dispersion!)]),
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
  const { dispersion } = input;
  const { verdict, ...measured } = input.method === 'sft' ? summarizeTexts(input) : summarizePairs(input);
  return {
    finished: input.finished,
    steps: last?.step ?? 0,
    final: last ?? {},
    ...(dispersion === undefined
      ? {}
      : {
          dispersion: {
            ...summarize(dispersion.prompts.map((prompt) => prompt.negLogDispersion)),
            phiStar: dispersion.phiStar,
            source: dispersion.source,
            shuffled: dispersion.shuffled,
          },
        }),
    ...measured,
    verdict: [
      ...(input.finished ? [] : ['The run was interrupted: these are its numbers so far.']),
      ...verdict,
      ...(dispersion?.shuffled === true
        ? ['This run is a control: its weights w(x) were dealt to the prompts at random.']
        : []),
    ],
  };
}

type Judged = Pick<TrainingNumbers, 'heldOut' | 'heldOutTexts' | 'verdict'>;

function summarizePairs({ heldOut }: TrainingReportInput): Judged {
  if (heldOut === undefined || heldOut.prompts.length === 0) {
    return { verdict: ['No held-out pairs: whether the model learnt is not known.'] };
  }
  if (new Set(heldOut.prompts).size === 1) {
    const words = `All held-out pairs (${heldOut.prompts.length}) are of one prompt: whether the model learnt anything about others is not known.`;
    return { verdict: [words] };
  }
  const { prompts, lossesBefore, lossesAfter, marginsBefore, marginsAfter, correctAfter } = heldOut;
  const overPrompts = (values: Float64Array) => bound(clusterBootstrap(values, prompts, { seed: SEED }));
  const loss = overPrompts(lossesAfter);
  const lossChange = overPrompts(lossesAfter.map((after, pair) => after - lossesBefore[pair]!));
  const lossBefore = loss.estimate - lossChange.estimate;
  const measured = {
    pairs: lossesAfter.length,
    prompts: new Set(prompts).size,
    lossBefore,
    loss,
    lossChange,
    marginBefore: mean(marginsBefore),
    marginChange: overPrompts(marginsAfter.map((after, pair) => after - marginsBefore[pair]!)),
    accuracy: overPrompts(correctAfter),
    ...(knowsNothing(lossBefore) ? { belowLn2: loss.high < Math.LN2 } : {}),
  };
  return { heldOut: measured, verdict: pairVerdict(measured) };
}

/** Whether a loss is that of the reference under a log-likelihood of pairs: ln 2, up to what bf16 leaves of it. */
function knowsNothing(loss: number): boolean {
  return Math.abs(loss - Math.LN2) < 5e-4;
}

/** Which way a change went, as far as its interval shows. */
function direction({ low, high }: Estimate): 'up' | 'down' | 'unclear' {
  return low > 0 ? 'up' : high < 0 ? 'down' : 'unclear';
}

const MOVED = { up: 'rose', down: 'fell', unclear: 'went' } as const;

/**
 * Losses may have other parts than the preference (a likelihood term, weights that follow the policy), so a loss that fell
 * shows no preference by itself: the rewards have to have moved apart, and not on the wrong side.
 */
function pairHeadline({
  lossChange,
  marginChange,
  accuracy,
}: NonNullable<TrainingNumbers['heldOut']>): string {
  const margin = direction(marginChange);
  switch (direction(lossChange)) {
    case 'down':
      return margin === 'up' && accuracy.high >= 0.5
        ? 'The model learnt the preference'
        : 'The loss fell, but this does not show that the model learnt the preference';
    case 'up':
      return margin === 'up'
        ? 'The loss rose, although chosen and rejected answers moved apart'
        : 'The model got worse';
    case 'unclear':
      return {
        up: 'No effect on the loss beyond chance, although chosen and rejected answers moved apart',
        down: 'No effect on the loss beyond chance, although rejected answers gained on chosen ones',
        unclear: 'No effect beyond chance',
      }[margin];
  }
}

function pairVerdict(measured: NonNullable<TrainingNumbers['heldOut']>): string[] {
  const { pairs, prompts, loss, lossBefore, lossChange, marginBefore, marginChange, accuracy } = measured;
  const on = `on ${pairs} held-out pairs${prompts < pairs ? ` of ${prompts} prompts` : ''}`;
  const from = knowsNothing(lossBefore)
    ? 'ln 2 = 0.693, the loss of knowing nothing,'
    : decimals(lossBefore, 3);
  const margin = direction(marginChange);
  const better =
    accuracy.low > 0.5
      ? 'more often than chance'
      : accuracy.high < 0.5
        ? 'less often than chance'
        : 'which chance alone could give';
  return [
    `${pairHeadline(measured)}: ${on} the loss ${MOVED[direction(lossChange)]} from ${from} to ` +
      `${decimals(loss.estimate, 3)} (${changeWords(lossChange)}).`,
    `The mean reward of chosen − rejected ${MOVED[margin]} from ${decimals(marginBefore, 3)} to ` +
      `${decimals(marginBefore + marginChange.estimate, 3)} (${changeWords(marginChange)})` +
      `${margin === 'unclear' ? ', which chance alone could give' : ''}.`,
    `The chosen answer has the higher reward in ${percent(accuracy.estimate)} of the pairs ` +
      `(95 % interval ${percent(accuracy.low)} to ${percent(accuracy.high)}), ${better}.`,
  ];
}

/** The interval is of the change: what a claim about the change is decided by. */
function changeWords({ estimate, low, high }: Estimate): string {
  return `change ${decimals(estimate, 3)}, 95 % interval ${decimals(low, 3)} to ${decimals(high, 3)}`;
}

/** Texts are not recorded one by one, so there are intervals of the two losses and none of the change. */
function summarizeTexts({ metrics }: TrainingReportInput): Judged {
  const levels = metrics.flatMap((line): HeldOutLoss[] => {
    const { step, eval_loss: loss, 'eval_loss/low': low, 'eval_loss/high': high } = line;
    if (typeof loss !== 'number') return [];
    return [
      { step, loss, ...(typeof low === 'number' && typeof high === 'number' && { interval: [low, high] }) },
    ];
  });
  const [before, after] = [levels[0], levels.at(-1)];
  if (before === undefined || after === undefined) {
    return { verdict: ['No held-out texts: whether the model learnt is not known.'] };
  }
  const heldOutTexts = { before, after };
  if (before === after) {
    const words = `The held-out loss was measured only once, after step ${before.step}: ${levelWords(before)}. Whether the model learnt is not known.`;
    return { heldOutTexts, verdict: [words] };
  }
  return { heldOutTexts, verdict: textVerdict(before, after) };
}

function textVerdict(before: HeldOutLoss, after: HeldOutLoss): string[] {
  const moved = after.loss < before.loss ? 'fell' : after.loss > before.loss ? 'rose' : 'went';
  const levels = `on held-out texts the loss ${moved} from ${levelWords(before)} to ${levelWords(after)}`;
  const [first, last] = [before.interval, after.interval];
  if (first === undefined || last === undefined) {
    return [
      `${capital(levels)}.`,
      'They have one prompt: whether the model learnt anything about others is not known.',
    ];
  }
  // The same texts are in both means, so intervals that lie apart say more than 95 %; overlapping ones say nothing.
  const apart =
    last[1] < first[0] ? 'The model learnt' : last[0] > first[1] ? 'The model got worse' : undefined;
  if (apart !== undefined) return [`${apart}: ${levels}; the intervals do not overlap.`];
  return [
    `${capital(levels)}.`,
    'Whether that is more than chance is not known: the intervals overlap, and they are of each loss, not of its change, which differs less from text to text.',
  ];
}

function levelWords({ loss, interval }: HeldOutLoss): string {
  const range =
    interval === undefined
      ? ''
      : ` (95 % interval ${decimals(interval[0], 3)} to ${decimals(interval[1], 3)})`;
  return `${decimals(loss, 3)} nats a token${range}`;
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function facts({ heldOut, heldOutTexts, final, steps }: TrainingNumbers): Fact[] {
  const margin = final['eval_rewards/margins'];
  return [
    ...(heldOut === undefined
      ? []
      : [
          {
            label: 'Held-out loss',
            value: decimals(heldOut.loss.estimate, 3),
            note: `${decimals(heldOut.loss.low, 3)} to ${decimals(heldOut.loss.high, 3)}${heldOut.belowLn2 === undefined ? '' : '; ln 2 is 0.693'}`,
          },
          {
            label: 'Held-out accuracy',
            value: percent(heldOut.accuracy.estimate),
            note: `${percent(heldOut.accuracy.low)} to ${percent(heldOut.accuracy.high)}`,
          },
        ]),
    ...(heldOutTexts === undefined ? [] : textFacts(heldOutTexts.after)),
    ...(typeof margin === 'number'
      ? [{ label: 'Held-out margin', value: decimals(margin, 3), note: 'reward of chosen − rejected' }]
      : []),
    { label: 'Updates', value: String(steps) },
  ];
}

function textFacts({ loss, interval }: HeldOutLoss): Fact[] {
  const range = (of: (value: number) => string) =>
    interval === undefined ? '' : `${of(interval[0])} to ${of(interval[1])}, `;
  const perplexity = (nats: number) => decimals(Math.exp(nats), 2);
  return [
    {
      label: 'Held-out loss',
      value: decimals(loss, 3),
      note: `${range((nats) => decimals(nats, 3))}nats a token`,
    },
    { label: 'Held-out perplexity', value: perplexity(loss), note: `${range(perplexity)}a token` },
  ];
}

interface Captioned {
  readonly figure: Figure;
  readonly caption: string;
}

function curveFigures({ metrics, method }: TrainingReportInput): Captioned[] {
  const start = metrics.find(({ step }) => step === 0)?.eval_loss;
  const fromLn2 = method === 'preference' && typeof start === 'number' && knowsNothing(start);
  // Squared, hinge and exponential losses are no log-probabilities and have no unit.
  const unit = method === 'sft' ? 'nats a token' : fromLn2 ? 'nats a pair' : 'a pair';
  const curve = (name: string, title: string, label: string, key: string, reference?: [number, string]) =>
    trainAndHeldOut(metrics, { name, title, label, key, ...(reference === undefined ? {} : { reference }) });
  return [
    {
      figure: curve('loss', 'Loss', `loss (${unit})`, 'loss', fromLn2 ? [Math.LN2, 'ln 2'] : undefined),
      caption:
        'Lower is better. Training loss is the mean of one batch and jumps with it; held-out loss decides.',
    },
    {
      figure: curve('margin', 'Margin', 'reward of chosen − rejected', 'rewards/margins', [
        0,
        'no difference',
      ]),
      caption:
        'How far apart the model holds the two answers: the difference of their implicit rewards, in DPO β times that of their log-ratios.',
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
  return dispersionHistogram(values, `training pairs${dispersion.shuffled ? ', shuffled' : ''}`);
}

/** The histogram of w(x), shared by the training report and `mallows dispersion`. */
export function dispersionHistogram(values: readonly number[], subject: string): Figure {
  const { mean, sd, skew } = summarize(values);
  return histogramChart({
    name: 'dispersion',
    title: 'Neg-log dispersion of the prompts',
    subtitle: `${values.length} ${subject}, sd ${decimals(sd, 3)}, skew ${decimals(skew, 2)}`,
    description: `Histogram of w(x): mean ${decimals(mean, 3)}, standard deviation ${decimals(sd, 3)}, skewness ${decimals(skew, 2)}.`,
    x: { label: 'w(x): opinions differ ← → answers agree' },
    groups: [{ label: 'w', values }],
    references: [{ axis: 'x', value: mean, label: `mean ${decimals(mean, 2)}` }],
  });
}

/** Where each source has w(x) from, and what its ends are. */
const SOURCES: Readonly<Record<UsedDispersion['source'], { from: string; most: string; least: string }>> = {
  entropy: {
    from: 'the reference model’s entropies over the answers',
    most: 'Where the model would accept many answers',
    least: 'Where it sees one answer',
  },
  votes: { from: 'annotators’ votes', most: 'Where annotators disagreed', least: 'Where they agreed' },
  column: {
    from: 'the data’s dispersion column',
    most: 'Where the data say that opinions differ',
    least: 'Where they say that the answer is settled',
  },
};

function dispersionSection(figure: Figure, dispersion: UsedDispersion): ReportSection {
  const { prompts, phiStar, source, shuffled } = dispersion;
  const { from } = SOURCES[source];
  const scale = html`w(x) scales each pair’s margin; in mallows-phi it scales the pair’s −log φ. Its mean is 1 by the choice
φ* = ${decimals(phiStar, 4)}.`;
  return {
    heading: 'Dispersion',
    body: shuffled
      ? html`<p>This run is a control. ${scale} The weights come from ${from}, but were dealt to the prompts at random: which
prompt has which weight says nothing about it, so none are listed.</p>
${figureGrid([{ figure }])}`
      : html`<p>${scale} It comes from ${from}: above 1 where the answer is settled, below 1 where opinions differ.</p>
${figureGrid([{ figure }])}
${extremePrompts(prompts, source)}`,
  };
}

function extremePrompts(prompts: readonly PromptDispersion[], source: UsedDispersion['source']): Html {
  const sorted = [...prompts].sort((a, b) => a.negLogDispersion - b.negLogDispersion);
  const { most, least } = SOURCES[source];
  const table = (caption: string, rows: readonly PromptDispersion[]) =>
    dataTable(
      [{ heading: 'w', numeric: true }, { heading: 'Prompt' }],
      distinct(rows)
        .slice(0, SHOWN_PROMPTS)
        .map(({ negLogDispersion, prompt }) => [decimals(negLogDispersion, 2), shorten(prompt, 240)]),
      caption,
    );
  return html`<div class="columns">
<div><h3>Most dispersed prompts</h3>${table(most, sorted)}</div>
<div><h3>Least dispersed prompts</h3>${table(least, sorted.toReversed())}</div>
</div>`;
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

function bound({ estimate, low, high }: Interval): Estimate {
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
