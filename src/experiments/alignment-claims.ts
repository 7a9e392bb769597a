import type { JudgedPair } from '../evaluate/index.ts';
import { hierarchicalBootstrap } from '../stats/index.ts';
import type { AlignmentKind } from './alignment-settings.ts';
import type { Arm } from './arms.ts';
import { type Claim, judge } from './claims.ts';

/** A judge's word on one method against another. */
export interface Comparison {
  readonly arm: Arm;
  readonly against: string;
  readonly prompts: number;
  readonly answers: number;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  /** (wins + ½ ties)/answers in percent, with a 95 % bootstrap interval over prompts and, within them, answers. */
  readonly winRate: { readonly estimate: number; readonly low: number; readonly high: number };
  /** Answers that the judge's word could not be read for. */
  readonly unparsable: number;
}

export function comparisonOf(
  arm: Arm,
  against: string,
  judged: readonly JudgedPair[],
  seed: number,
): Comparison {
  const byPrompt = new Map<string, number[]>();
  let [wins, ties, losses] = [0, 0, 0];
  for (const { id, winner } of judged) {
    if (winner === undefined) continue;
    if (winner === 'a') wins++;
    else if (winner === 'b') losses++;
    else ties++;
    const prompt = id.replace(/#\d+$/, '');
    byPrompt.set(prompt, [...(byPrompt.get(prompt) ?? []), winner === 'a' ? 1 : winner === 'b' ? 0 : 0.5]);
  }
  const answers = wins + ties + losses;
  const groups = [...byPrompt.values()];
  const interval =
    groups.length < 2
      ? { estimate: Number.NaN, low: Number.NaN, high: Number.NaN }
      : hierarchicalBootstrap(groups, { seed, resamples: 2000 });
  return {
    arm,
    against,
    prompts: groups.length,
    answers,
    wins,
    ties,
    losses,
    winRate: { estimate: 100 * interval.estimate, low: 100 * interval.low, high: 100 * interval.high },
    unparsable: judged.length - answers,
  };
}

/** Win rates against DPO that the paper reports on HH's own test prompts (GPT-4 as judge), in percent, by β. */
const HH_PAPER: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'mallows-theta': { '0.1': 57.67, '0.5': 50.67 },
  'mallows-phi': { '0.1': 53.33, '0.5': 54.33 },
};

/** AlpacaEval 2, length-controlled win rates of DPO and MallowsPO-θ in percent, by rate and β. */
const ULTRAFEEDBACK_PAPER: Readonly<Record<string, readonly [dpo: number, mallows: number]>> = {
  '0.000001 0.1': [37.14, 37.37],
  '0.000001 0.05': [40.08, 41.08],
  '0.000001 0.01': [27.42, 29.65],
  '5e-7 0.1': [36.09, 37.66],
  '5e-7 0.05': [40.56, 39.75],
  '5e-7 0.01': [42.55, 43.1],
};

export function alignmentClaims(
  kind: AlignmentKind,
  comparisons: readonly Comparison[],
  testable: boolean,
): { claims: Claim[]; findings: string[] } {
  const againstDpo = comparisons.filter(({ against }) => against.startsWith('dpo'));
  const claims = againstDpo.flatMap((comparison): Claim[] => {
    const { arm } = comparison;
    const paper = arm.shuffle ? undefined : paperValue(kind, arm);
    if (paper === undefined) return [];
    return [
      {
        claim: `${arm.label} wins against DPO`,
        paper: paper.text,
        ours: show(comparison),
        // The paper's direction, and not by chance.
        verdict: judge(testable, paper.better ? comparison.winRate.low > 50 : comparison.winRate.high < 50),
        ...(kind === 'ultrafeedback' && {
          note: 'The paper’s numbers are win rates of each against GPT-4 on AlpacaEval 2; ours is a judge’s direct comparison.',
        }),
      },
    ];
  });
  const controls = againstDpo.filter(({ arm }) => arm.shuffle);
  const gains = comparisons.filter(
    ({ against, arm }) => against === 'the model before' && arm.objective === 'dpo',
  );
  return {
    claims,
    findings: [
      ...gains.map(
        (comparison) => `${comparison.arm.label} against the model before tuning: ${show(comparison)}.`,
      ),
      ...controls.map(
        (comparison) => `Shuffled control, ${comparison.arm.label}, against DPO: ${show(comparison)}.`,
      ),
    ],
  };
}

function paperValue(
  kind: AlignmentKind,
  { objective, beta, learningRate }: Arm,
): { text: string; better: boolean } | undefined {
  if (kind === 'hh') {
    const winRate = HH_PAPER[objective]?.[String(beta)];
    return winRate === undefined ? undefined : { text: `${winRate} % (GPT-4)`, better: winRate > 50 };
  }
  const numbers = objective === 'mallows-theta' ? ULTRAFEEDBACK_PAPER[`${learningRate} ${beta}`] : undefined;
  if (numbers === undefined) {
    return objective === 'mallows-theta'
      ? { text: 'above DPO in five of six settings (AlpacaEval 2)', better: true }
      : undefined;
  }
  const [dpo, mallows] = numbers;
  return { text: `LC win rate ${mallows} % against DPO’s ${dpo} %`, better: mallows > dpo };
}

function show({ winRate: { estimate, low, high }, answers }: Comparison): string {
  return `${estimate.toFixed(1)} % (${low.toFixed(1)} to ${high.toFixed(1)}) of ${answers} answers`;
}
