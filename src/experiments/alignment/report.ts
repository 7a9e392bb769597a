import {
  barChart,
  dataTable,
  type Figure,
  figureGrid,
  html,
  preformatted,
  renderReport,
} from '../../report/index.ts';
import { claimTable } from '../shared/claim-table.ts';
import { writeExperiment } from '../shared/write-report.ts';
import { hasInterval } from './claims.ts';
import type { AlignmentReport } from './contract.ts';

export function alignmentFigures({ comparisons, judge }: AlignmentReport): Figure[] {
  return ['dpo', 'the model before'].flatMap((against) => {
    const shown = comparisons.filter((one) => one.against.startsWith(against) && hasInterval(one.winRate));
    if (shown.length === 0) return [];
    const name = against === 'dpo' ? 'DPO at the same setting' : 'the model before tuning';
    return [
      barChart({
        name: against === 'dpo' ? 'against-dpo' : 'against-base',
        title: `Win rate against ${name}`,
        subtitle: `judge: ${judge}; whiskers: 95 % interval over prompts and seeds; dashes: even`,
        description: `Win rates: ${shown.map(({ method, winRate }) => `${method.label} ${winRate.estimate.toFixed(1)} %`).join(', ')}.`,
        x: { label: 'win rate (%)', domain: [0, 100] },
        references: [{ axis: 'x', value: 50, label: '' }],
        bars: shown.map(({ method, winRate }) => ({
          label: method.label,
          value: winRate.estimate,
          low: winRate.low,
          high: winRate.high,
          color: method.shuffle ? ('grey' as const) : ('blue' as const),
        })),
        format: (value) => value.toFixed(1),
      }),
    ];
  });
}

const TITLES = {
  hh: ['Anthropic HH: dialogue', 'Sections 5.4, C.3, D.1'],
  ultrafeedback: ['UltraFeedback: on-policy pairs', 'Sections 5.5, D.2'],
} as const;

export async function alignmentPage(report: AlignmentReport, figures: readonly Figure[]): Promise<string> {
  const { experiment, scale, settings, data, reward, pairs, arms, comparisons, claims, findings, judge } =
    report;
  const [title, subtitle] = TITLES[experiment];
  const accuracy = reward.accuracy;
  return renderReport({
    kicker: 'Reproduction',
    title,
    subtitle: `${subtitle}; scale: ${scale}`,
    verdict: [
      ...claims.map(({ claim, ours, verdict }) => `${claim}: ${verdict}. Here: ${ours}.`),
      ...findings,
    ],
    facts: [
      {
        label: 'Reward model, held-out accuracy',
        value: accuracy === null ? 'given' : accuracy.estimate.toFixed(3),
        note: accuracy === null ? reward.model : `${accuracy.low.toFixed(3)} to ${accuracy.high.toFixed(3)}`,
      },
      {
        label: 'Pairs',
        value: String(pairs.count),
        note: pairs.onPolicy ? `best and worst of ${settings.onPolicy?.samples} answers` : 'the data’s own',
      },
    ],
    sections: [
      { heading: 'The paper beside this run', body: claimTable(claims) },
      { heading: 'Win rates', body: figureGrid(figures.map((figure) => ({ figure }))) },
      {
        heading: 'Every comparison',
        body: dataTable(
          [
            { heading: 'Method' },
            { heading: 'Against' },
            { heading: 'Win rate (95 % interval)', numeric: true },
            { heading: 'Wins / ties / losses', numeric: true },
            { heading: 'Prompts', numeric: true },
            { heading: 'No verdict: refused / cut off / unreadable', numeric: true },
          ],
          comparisons.map(({ method, against, winRate, wins, ties, losses, prompts, ...left }) => [
            method.label,
            against,
            hasInterval(winRate)
              ? `${winRate.estimate.toFixed(1)} (${winRate.low.toFixed(1)} to ${winRate.high.toFixed(1)})`
              : '–',
            `${wins} / ${ties} / ${losses}`,
            prompts,
            `${left.refused} / ${left.cutOff} / ${left.unparsable}`,
          ]),
        ),
      },
      {
        heading: 'Held-out pairs after training',
        body: dataTable(
          [
            { heading: 'Method' },
            { heading: 'Reward accuracy', numeric: true },
            { heading: 'Margin', numeric: true },
            { heading: 'Loss', numeric: true },
            { heading: 'Run' },
          ],
          arms.map(({ arm, accuracy: own, margin, loss, path }) => [
            arm.name,
            own?.toFixed(3) ?? '–',
            margin?.toFixed(3) ?? '–',
            loss?.toFixed(4) ?? '–',
            path,
          ]),
        ),
      },
      {
        heading: 'Settings',
        body: html`<p>Data: ${data.source} (${data.format}), ${data.rows} usable pairs, ${data.badRows} rows left out, ${data.tooLong} pairs too long, ${data.judgedPrompts} prompts left out because they are judged on. Judge: ${judge}. ${settings.reward.model === null ? 'The reward model’s pairs share no prompt with what is tuned or judged on.' : 'The reward model was given: on which prompts it was trained is not known here.'}</p>${preformatted(JSON.stringify(settings, null, 2))}`,
      },
    ],
  });
}

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeAlignmentReport(directory: string, report: AlignmentReport): Promise<string[]> {
  const figures = alignmentFigures(report);
  return writeExperiment(directory, report, figures, await alignmentPage(report, figures));
}
