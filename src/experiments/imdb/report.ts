import {
  dataTable,
  type Figure,
  figureGrid,
  html,
  preformatted,
  renderReport,
  scatterChart,
} from '../../report/index.ts';
import { mean } from '../../stats/index.ts';
import { methodsOf } from '../shared/arms.ts';
import { claimTable } from '../shared/claim-table.ts';
import { writeExperiment } from '../shared/write-report.ts';
import type { ArmFrontier, ImdbReport } from './contract.ts';

/** Figure 8c: a figure for each β, all methods in it, each the mean of its seeds. */
export function imdbFigures({ frontiers, settings }: ImdbReport): Figure[] {
  const { betas, seeds } = settings.training;
  return betas.map((beta) =>
    scatterChart({
      name: `figure-8c-beta-${beta}`,
      title: `Figure 8c: accuracy against KL, β = ${beta}`,
      subtitle: `along training; each point an evaluation${seeds > 1 ? `, mean of ${seeds} seeds` : ''}`,
      description: `Share of positive samples against on-policy KL to the SFT model during training at β = ${beta}.`,
      x: { label: 'on-policy KL (nats a completion)', range: [0, Number.POSITIVE_INFINITY] },
      y: { label: 'positive samples (share)', range: [0, 1] },
      connect: true,
      series: methodsOf(settings.training)
        .filter((method) => method.beta === beta)
        .map(({ label, objective, shuffle }) => ({
          label: `${objective}${shuffle ? ', shuffled' : ''}`,
          points: meanPoints(frontiers.filter(({ arm }) => arm.label === label)),
          ...(shuffle && { color: 'grey' as const, dashed: true }),
        })),
    }),
  );
}

/** Runs of one method are evaluated at the same steps. */
function meanPoints(runs: readonly ArmFrontier[]): { x: number; y: number }[] {
  const steps = runs[0]?.moments.map(({ step }) => step) ?? [];
  return steps.map((step) => {
    const moments = runs.flatMap((run) => run.moments.filter((moment) => moment.step === step));
    return { x: mean(moments.map(({ kl }) => kl)), y: mean(moments.map(({ accuracy }) => accuracy)) };
  });
}

export async function imdbPage(report: ImdbReport, figures: readonly Figure[]): Promise<string> {
  const { classifier, pairs, data, scale, settings, frontiers, claims, findings } = report;
  const { estimate, low, high } = classifier.accuracy;
  return renderReport({
    kicker: 'Reproduction',
    title: 'IMDB: positive continuations',
    subtitle: `Section 5.3, Figure 8c; scale: ${scale}`,
    verdict: [
      ...claims.map(({ claim, ours, verdict }) => `${claim}: ${verdict}. Here: ${ours}.`),
      ...findings,
    ],
    facts: [
      {
        label: 'Classifier, held-out accuracy',
        value: estimate.toFixed(3),
        note: `${low.toFixed(3)} to ${high.toFixed(3)} on ${classifier.heldOut} reviews; TF-IDF floor ${classifier.floor}`,
      },
      { label: 'Pairs', value: String(pairs.count), note: `from ${pairs.prompts} openings` },
      { label: 'Mean gap', value: pairs.meanGap.toFixed(2), note: 'log odds, best − worst sample' },
    ],
    sections: [
      { heading: 'The paper beside this run', body: claimTable(claims) },
      { heading: 'Frontiers', body: figureGrid(figures.map((figure) => ({ figure }))) },
      {
        heading: 'Ends of training',
        body: dataTable(
          [
            { heading: 'Method' },
            { heading: 'Steps', numeric: true },
            { heading: 'KL', numeric: true },
            { heading: 'Positive, before', numeric: true },
            { heading: 'Positive, after', numeric: true },
            { heading: 'Mean P(positive)', numeric: true },
          ],
          frontiers.flatMap(({ arm, moments }) => {
            const [first, last] = [moments[0], moments.at(-1)];
            if (first === undefined || last === undefined) return [];
            return [
              [
                arm.name,
                last.step,
                last.kl.toFixed(3),
                first.accuracy.toFixed(3),
                last.accuracy.toFixed(3),
                last.probability.toFixed(3),
              ],
            ];
          }),
          `On ${report.samplesPerMoment} held-out openings`,
        ),
      },
      {
        heading: 'Settings',
        body: html`<p>Reviews: ${data.source}, ${data.reviews} usable, ${data.badRows} left out. Classifier: ${classifier.model}. Pairs: ${pairs.files.join(', ')} (the CSV in f-DPO’s offline format).</p>${preformatted(JSON.stringify(settings, null, 2))}`,
      },
    ],
  });
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeImdbReport(directory: string, report: ImdbReport): Promise<string[]> {
  const figures = imdbFigures(report);
  return writeExperiment(directory, report, figures, await imdbPage(report, figures));
}
