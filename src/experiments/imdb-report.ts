import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  dataTable,
  type Figure,
  figureGrid,
  html,
  preformatted,
  renderReport,
  scatterChart,
  writeFigure,
} from '../report/index.ts';
import { writeFileAtomic } from '../runs/index.ts';
import { claimTable } from './claim-table.ts';
import type { ImdbReport } from './imdb.ts';

/** Figure 8c: a figure for each β, all methods in it. */
export function imdbFigures({ frontiers }: ImdbReport): Figure[] {
  const betas = [...new Set(frontiers.map(({ arm }) => arm.beta))];
  return betas.map((beta) =>
    scatterChart({
      name: `figure-8c-beta-${beta}`,
      title: `Figure 8c: accuracy against KL, β = ${beta}`,
      subtitle: 'along training; each point an evaluation',
      description: `Share of positive samples against on-policy KL to the SFT model during training at β = ${beta}.`,
      x: { label: 'on-policy KL (nats a completion)' },
      y: { label: 'positive samples (share)' },
      connect: true,
      series: frontiers
        .filter(({ arm }) => arm.beta === beta)
        .map(({ arm, moments }) => ({
          label: `${arm.objective}${arm.shuffle ? ', shuffled' : ''}`,
          points: moments.map(({ kl, accuracy }) => ({ x: kl, y: accuracy })),
          ...(arm.shuffle && { color: 'grey' as const, dashed: true }),
        })),
    }),
  );
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
                arm.label,
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
  await mkdir(directory, { recursive: true });
  const json = join(directory, 'report.json');
  const page = join(directory, 'report.html');
  const figures = imdbFigures(report);
  for (const figure of figures) await writeFigure(join(directory, 'figures'), figure);
  writeFileAtomic(page, await imdbPage(report, figures));
  writeFileAtomic(json, `${JSON.stringify(report, null, 2)}\n`);
  return [json, page];
}
