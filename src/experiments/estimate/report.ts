import { dataTable, type Figure, figureGrid, html, lineChart, renderReport } from '../../report/index.ts';
import { claimTable } from '../shared/claim-table.ts';
import { writeExperiment } from '../shared/write-report.ts';
import type { EstimateReport } from './contract.ts';

/** Figure 3 of the paper: the estimate against the truth. */
export function estimateFigure({ points, settings }: EstimateReport): Figure {
  const truth = points.reduce((sum, { negLogPhi }) => sum + negLogPhi, 0) / points.length;
  return lineChart({
    name: 'figure-3',
    title: 'Figure 3: estimated against true dispersion',
    subtitle: `rankings of ${settings.items} items; band: ± one sd over ${settings.prompts} prompts`,
    description:
      'Neg-log dispersion estimate w, scaled to mean 1, against the true −log φ of the Mallows model.',
    x: { label: 'true −log φ' },
    y: { label: 'estimate w (mean 1)' },
    series: [
      {
        label: 'drawn rankings',
        color: 'blue',
        dots: true,
        points: points.map(({ negLogPhi, drawn }) => ({ x: negLogPhi, y: drawn.mean })),
        band: points.map(({ negLogPhi, drawn }) => ({
          x: negLogPhi,
          low: drawn.mean - drawn.sd,
          high: drawn.mean + drawn.sd,
        })),
      },
      {
        label: 'model entropies',
        color: 'orange',
        points: points.map(({ negLogPhi, model }) => ({ x: negLogPhi, y: model })),
      },
      {
        label: 'truth',
        color: 'grey',
        dashed: true,
        points: points.map(({ negLogPhi }) => ({ x: negLogPhi, y: negLogPhi / truth })),
      },
    ],
  });
}

export async function estimatePage(report: EstimateReport, figure: Figure): Promise<string> {
  const { settings } = report;
  return renderReport({
    kicker: 'Reproduction',
    title: 'The dispersion estimate on rankings with known dispersion',
    subtitle: 'Section 3.3, Figure 3',
    verdict: [`The estimate follows the true −log φ: ${report.claims[0]!.verdict}.`, ...report.findings],
    sections: [
      { heading: 'The paper beside this run', body: claimTable(report.claims) },
      { heading: 'Figure', body: figureGrid([{ figure }]) },
      {
        heading: 'How entropies arise from rankings',
        body: html`<p>A ranking of ${settings.items} items is a text of ${settings.items} tokens. For each φ, ${settings.rankings} rankings are drawn by repeated insertion; a prompt is ${settings.answers} of them, the nearest to the central ranking its chosen answer, the farthest its rejected one. <em>Drawn</em>: the entropy of each token given the one before, at its place, in the drawn rankings (Eq. 11 as printed). <em>Model</em>: the entropy of the next token given the whole prefix under the Mallows model, as the method is used on language models. Seed ${settings.seed}.</p>`,
      },
      {
        heading: 'Correlations over φ',
        body: dataTable(
          [
            { heading: 'Entropies' },
            { heading: 'Correlation' },
            { heading: 'Value (95 % interval)', numeric: true },
          ],
          report.correlations.map(({ estimator, kind, interval }) => [
            estimator,
            kind,
            `${interval.estimate.toFixed(4)} (${interval.low.toFixed(4)} to ${interval.high.toFixed(4)})`,
          ]),
        ),
      },
    ],
  });
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeEstimateReport(directory: string, report: EstimateReport): Promise<string[]> {
  const figure = estimateFigure(report);
  return writeExperiment(directory, report, [figure], await estimatePage(report, figure));
}
