import { dataTable, type Figure, figureGrid, html, renderReport } from '../../report/index.ts';
import { claimTable } from '../shared/claim-table.ts';
import { countVerdicts } from '../shared/claims.ts';
import { writeExperiment } from '../shared/write-report.ts';
import type { BanditReport } from './contract.ts';
import { banditFigures } from './figures.ts';
import { objectiveLabel } from './settings.ts';

/** The report as a page: verdicts first, then figures, then every number. */
export async function banditPage(report: BanditReport, figures: readonly Figure[]): Promise<string> {
  const { settings, fresh } = report;
  const { reproduced, of } = countVerdicts(report.claims);
  return renderReport({
    kicker: 'Reproduction',
    title: 'The bandit of MallowsPO',
    subtitle: 'Section 5.2 and Appendix C.1: five arms, 16 comparisons, a softmax policy',
    verdict: [
      `${reproduced} of ${of} statements about the bandit are reproduced.`,
      ...(fresh
        ? ['Whether they hold beyond the paper’s 16 comparisons is a separate question, answered below.']
        : []),
    ],
    sections: [
      { heading: 'The paper beside this run', body: claimTable(report.claims) },
      { heading: 'Figures', body: figureGrid(figures.map((figure) => ({ figure }))) },
      ...(fresh
        ? [
            {
              heading: `${fresh.settings.samples} fresh samples of 16 comparisons`,
              body: html`${dataTable(
                [
                  { heading: 'Measure' },
                  { heading: 'First' },
                  { heading: 'Second' },
                  { heading: 'First mean', numeric: true },
                  { heading: 'Second mean', numeric: true },
                  { heading: 'Difference (95 % interval)', numeric: true },
                  { heading: 'Better / equal / worse', numeric: true },
                  { heading: 'p (sign, Holm)', numeric: true },
                ],
                fresh.comparisons.map((one) => [
                  `${one.measure}${one.higherIsBetter ? '' : ' (lower is better)'}`,
                  one.first,
                  one.second,
                  one.firstMean.toFixed(3),
                  one.secondMean.toFixed(3),
                  `${one.difference.estimate.toFixed(3)} (${one.difference.low.toFixed(3)} to ${one.difference.high.toFixed(3)})`,
                  `${one.better} / ${one.equal} / ${one.worse}`,
                  one.pValue.toPrecision(2),
                ]),
              )}${report.findings.map((sentence) => html`<p>${sentence}</p>`)}`,
            },
          ]
        : []),
      {
        heading: 'MallowsPO-θ is DPO here',
        body: html`<p>With one φ for all prompts, MallowsPO-θ at β is DPO at ${settings.thetaFactor.toFixed(2)} β. Largest difference of the policies: ${report.thetaIsDpo
          .map(({ beta, largestDifference }) => `${largestDifference.toExponential(1)} at β = ${beta}`)
          .join(', ')}.</p>`,
      },
      {
        heading: 'Every policy',
        body: dataTable(
          [
            { heading: 'Objective' },
            { heading: 'β', numeric: true },
            ...[1, 2, 3, 4, 5].map((arm) => ({ heading: `Arm ${arm}`, numeric: true })),
            { heading: 'Reward', numeric: true },
            { heading: 'KL', numeric: true },
          ],
          report.results.map((result) => [
            objectiveLabel(result),
            result.beta.toPrecision(3),
            ...result.policy.map((p) => p.toFixed(4)),
            result.reward.toFixed(3),
            result.kl.toFixed(3),
          ]),
          `Mean of the last 30 of ${settings.epochs.toLocaleString('en')} epochs, SGD ${settings.learningRate}, φ = ${settings.phi}, fp64.`,
        ),
      },
    ],
  });
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeBanditReport(directory: string, report: BanditReport): Promise<string[]> {
  const figures = banditFigures(report);
  return writeExperiment(directory, report, figures, await banditPage(report, figures));
}
