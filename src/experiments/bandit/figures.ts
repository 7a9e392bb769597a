import { type Figure, lineChart, type Point, type SeriesColor, scatterChart } from '../../report/index.ts';
import type { BanditObjective, BanditReport } from './contract.ts';
import { ARMS } from './problem.ts';
import { objectiveLabel } from './settings.ts';

/** θ is left out of the figures: at φ = .05 it is DPO at 5.99 β, so it draws the same frontier. */
const DRAWN: readonly (BanditObjective & { readonly label: string; readonly color: SeriesColor })[] = [
  { objective: 'dpo', smoothing: null, label: 'DPO', color: 'orange' },
  { objective: 'mallows-phi', smoothing: 'raw', label: 'φ, raw', color: 'blue' },
  { objective: 'mallows-phi', smoothing: 'cubic', label: 'φ, cubic', color: 'green' },
];

const ARM_COLORS: readonly SeriesColor[] = ['blue', 'orange', 'green', 'purple', 'grey'];

const REWARD = { label: 'expected reward' };
const KL = { label: 'KL to the reference (nats)', range: [0, Number.POSITIVE_INFINITY] } as const;

/** At most about `count` points, evenly spaced along the drawn curve rather than in epochs, first and last kept. */
export function thinned(points: readonly Point[], count: number): Point[] {
  const spanX = Math.max(...points.map(({ x }) => x)) - Math.min(...points.map(({ x }) => x));
  const spanY = Math.max(...points.map(({ y }) => y)) - Math.min(...points.map(({ y }) => y));
  const kept: Point[] = [];
  for (const [index, point] of points.entries()) {
    const last = kept.at(-1);
    const far =
      last === undefined ||
      Math.hypot((point.x - last.x) / (spanX || 1), (point.y - last.y) / (spanY || 1)) >= 2 / count;
    if (far || index === points.length - 1) kept.push(point);
  }
  return kept;
}

function matches(one: BanditObjective, other: BanditObjective): boolean {
  return one.objective === other.objective && one.smoothing === other.smoothing;
}

function armChart(report: BanditReport, drawn: (typeof DRAWN)[number]): Figure {
  const results = report.results.filter((result) => matches(result, drawn));
  return lineChart({
    name: `figure-9-${drawn.smoothing ?? drawn.objective}`,
    title: `Figure 9: the policy of ${objectiveLabel(drawn)} as β → 0`,
    description: `Probability of each of the five arms against β for ${objectiveLabel(drawn)}.`,
    x: { label: 'β', scale: 'log' },
    y: { label: 'probability', domain: [0, 1] },
    series: Array.from({ length: ARMS }, (_, arm) => ({
      label: `arm ${arm + 1}`,
      color: ARM_COLORS[arm]!,
      dots: true,
      points: results.map(({ beta, policy }) => ({ x: beta, y: policy[arm]! })),
    })),
  });
}

/** Figures 8a, 8b and 9 of the paper. */
export function banditFigures(report: BanditReport): Figure[] {
  const betas = report.settings.betas;
  return [
    scatterChart({
      name: 'figure-8a',
      title: 'Figure 8a: frontier over β',
      subtitle: `${betas.length} values of β from ${betas[0]} to ${betas.at(-1)}`,
      description:
        'Expected reward against KL of the trained policies, one point a β, for DPO and MallowsPO-φ.',
      x: KL,
      y: REWARD,
      connect: true,
      series: DRAWN.map((drawn) => ({
        ...drawn,
        points: report.results
          .filter((result) => matches(result, drawn))
          .map(({ kl, reward }) => ({ x: kl, y: reward })),
      })),
    }),
    scatterChart({
      name: 'figure-8b',
      title: 'Figure 8b: frontier over training',
      subtitle: `mean over β = ${report.settings.trainingBetas.join(', ')}`,
      description: 'Expected reward against KL along training, averaged over β, for DPO and MallowsPO-φ.',
      x: KL,
      y: REWARD,
      connect: true,
      series: DRAWN.map((drawn) => {
        const frontier = report.trainingFrontiers.find((one) => matches(one, drawn))!;
        const points = frontier.kl.map((kl, i) => ({ x: kl, y: frontier.reward[i]! }));
        return { ...drawn, points: thinned(points, 240) };
      }),
    }),
    ...DRAWN.map((drawn) => armChart(report, drawn)),
  ];
}
