import type { Figure } from '../figure.ts';
import { type Html, html } from '../html.ts';
import {
  dataTable,
  type Fact,
  figureGrid,
  preformatted,
  type ReportSection,
  renderReport,
  sampleComparisons,
} from '../page.ts';
import type {
  Estimate,
  HeldOutLoss,
  HeldOutNumbers,
  KlLevel,
  TrainingNumbers,
  TrainingReport,
  TrainingReportInput,
} from './contract.ts';
import { dataSection } from './data.ts';
import { dispersionHistogram, dispersionSection } from './dispersion.ts';
import { curveFigures } from './figures.ts';
import { summarizeRun } from './numbers.ts';
import { type ObjectiveFacts, objectiveFacts } from './objective.ts';
import { decimals, direction, percent } from './words.ts';

/** Turns a run's numbers into words, figures and a page. A pure function: the same run gives the same bytes. */
export async function trainingReport(input: TrainingReportInput): Promise<TrainingReport> {
  const objective = input.objective && objectiveFacts(input.objective);
  const numbers = summarizeRun(input, objective);
  const method = input.objective === undefined ? 'sft' : 'preference';
  const curves = curveFigures({
    metrics: input.metrics,
    method,
    ...(objective && { objective }),
    numbers,
  });
  const dispersion = dispersionFigure(input);
  const sections: ReportSection[] = [
    {
      heading: 'Learning curves',
      body: html`${figureGrid(curves)}${likelihoodWords(numbers.heldOut?.chosenLogRatio, objective)}`,
    },
    ...(input.samples.length === 0 ? [] : [sampleSection(input)]),
    ...(dispersion === undefined ? [] : [dispersionSection(dispersion, input.dispersion!, objective)]),
    ...(numbers.data === undefined ? [] : [dataSection(numbers.data, method === 'sft' ? 'texts' : 'pairs')]),
    {
      heading: 'Settings',
      body: html`${lengthWords(input.provenance)}${preformatted(input.recipe.trimEnd())}`,
    },
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

function facts({ heldOut, heldOutTexts, kl, final, steps }: TrainingNumbers): Fact[] {
  const margin = final['eval_rewards/margins'];
  const lastKl = kl?.at(-1);
  return [
    ...(heldOut === undefined ? [] : pairFacts(heldOut)),
    ...(heldOutTexts === undefined ? [] : textFacts(heldOutTexts.after)),
    ...(typeof margin === 'number'
      ? [{ label: 'Held-out margin', value: decimals(margin, 3), note: 'reward of chosen − rejected' }]
      : []),
    ...(lastKl === undefined ? [] : [klFact(lastKl)]),
    { label: 'Updates', value: String(steps) },
  ];
}

function pairFacts(measured: HeldOutNumbers): Fact[] {
  const { loss, belowLn2, accuracy, accuracyBefore, accuracyByLogRatio } = measured;
  const range = ({ low, high }: Estimate) => `${percent(low)} to ${percent(high)}`;
  return [
    {
      label: 'Held-out loss',
      value: decimals(loss.estimate, 3),
      note: `${decimals(loss.low, 3)} to ${decimals(loss.high, 3)}${belowLn2 === undefined ? '' : '; ln 2 is 0.693'}`,
    },
    {
      label: `Held-out accuracy${accuracyByLogRatio === undefined ? '' : ' by its own reward'}`,
      value: percent(accuracy.estimate),
      note: `${range(accuracy)}; ${percent(accuracyBefore)} before training`,
    },
    ...(accuracyByLogRatio === undefined
      ? []
      : [
          {
            label: 'Held-out accuracy by log-ratio',
            value: percent(accuracyByLogRatio.estimate),
            note: `${range(accuracyByLogRatio)}; to the start, as runs are compared`,
          },
        ]),
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

function klFact({ kl, interval }: KlLevel): Fact {
  const range = interval === undefined ? '' : `${decimals(interval[0], 2)} to ${decimals(interval[1], 2)} `;
  return { label: 'KL to the reference', value: decimals(kl, 2), note: `${range}nats an answer` };
}

/** The question that users of preference tuning ask most, answered as far as the interval does. */
function likelihoodWords(
  chosenLogRatio: Estimate | undefined,
  objective: ObjectiveFacts | undefined,
): Html | undefined {
  if (chosenLogRatio === undefined) return undefined;
  const { estimate, low, high } = chosenLogRatio;
  const level = `on held-out pairs log π − log π_ref is ${decimals(estimate, 2)} nats on average (95 % interval ${decimals(low, 2)} to ${decimals(high, 2)})`;
  switch (direction(chosenLogRatio)) {
    case 'up':
      return html`<h3>Did the chosen answers become more likely?</h3>
<p>They became more likely than under the reference: ${level}.</p>`;
    case 'unclear':
      return html`<h3>Did the chosen answers become more likely?</h3>
<p>Whether they became more likely than under the reference or less is unclear: ${level}.</p>`;
    case 'down':
      return html`<h3>Why do the chosen answers become less likely too?</h3>
<p>They are less likely than under the reference: ${level}. ${objective?.fallingChosen ?? 'If the samples read worse, train for fewer steps.'}</p>`;
  }
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
  const { source, shuffled } = dispersion;
  return dispersionHistogram(values, { of: 'training pairs', source, shuffled });
}

/** The recipe names no maximum length where it is the default, which depends on the model. */
function lengthWords({ data }: Readonly<Record<string, unknown>>): Html | undefined {
  const { maxLength } = Object(data) as { readonly maxLength?: unknown };
  if (typeof maxLength !== 'number') return undefined;
  return html`<p>Prompt and completion have at most ${maxLength} tokens together.</p>`;
}

function provenanceTable(provenance: Readonly<Record<string, unknown>>): Html {
  return dataTable(
    [{ heading: 'What' }, { heading: 'Value' }],
    Object.entries(provenance).map(([key, value]) => [
      key,
      html`<code>${typeof value === 'string' ? value : JSON.stringify(value)}</code>`,
    ]),
  );
}
