import { promptKey } from '../../data/index.ts';
import { countLeftOut, type JudgedPair, type LeftOutPairs } from '../../evaluate/index.ts';
import { crossedMean } from '../../stats/index.ts';
import { isControlOf, type Method } from '../shared/arms.ts';
import { type Claim, verdictOn } from '../shared/claims.ts';
import type { Comparison } from './contract.ts';
import type { AlignmentKind } from './settings.ts';

/** Whether there were prompts enough to say how sure a win rate is. */
export function hasInterval({ low, high }: Comparison['winRate']): boolean {
  return Number.isFinite(low) && Number.isFinite(high);
}

/** `judged` holds every run's verdicts, one run after the other: where an id comes again, it is the next run's. */
export function comparisonOf(
  method: Method,
  against: string,
  judged: readonly JudgedPair[],
  seed: number,
): Comparison {
  const count = (wanted: JudgedPair['winner']) => judged.filter(({ winner }) => winner === wanted).length;
  const [wins, ties, losses] = [count('a'), count('tie'), count('b')];
  const { prompts, runs } = scoresOf(judged);
  const distinct = new Set(prompts).size;
  const interval =
    distinct < 2
      ? { estimate: Number.NaN, low: Number.NaN, high: Number.NaN }
      : crossedMean(runs, prompts, { seed, resamples: 2000, range: [0, 1] });
  return {
    method,
    against,
    runs: runs.length,
    prompts: distinct,
    answers: wins + ties + losses,
    wins,
    ties,
    losses,
    winRate: { estimate: 100 * interval.estimate, low: 100 * interval.low, high: 100 * interval.high },
    ...countLeftOut(judged),
  };
}

/** Each run's scores of the items that any verdict could be read on, NaN where its own could not, and their prompts. */
function scoresOf(judged: readonly JudgedPair[]): { prompts: string[]; runs: Float64Array[] } {
  const items = new Map<string, { readonly prompt: string; readonly scores: number[] }>();
  for (const { id, prompt, winner } of judged) {
    const item = items.get(id) ?? { prompt: promptKey(prompt), scores: [] };
    items.set(id, item);
    item.scores.push(winner === undefined ? Number.NaN : { a: 1, tie: 0.5, b: 0 }[winner]);
  }
  const runs = Math.max(0, ...Array.from(items.values(), ({ scores }) => scores.length));
  const scored = [...items.values()].filter(({ scores }) => !scores.every(Number.isNaN));
  return {
    prompts: scored.map(({ prompt }) => prompt),
    runs: Array.from({ length: runs }, (_, run) => Float64Array.from(scored, ({ scores }) => scores[run]!)),
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

/** The paper's win rates beside ours, and what the shuffled control says of each of θ's. */
export function alignmentClaims(
  kind: AlignmentKind,
  comparisons: readonly Comparison[],
  testable: boolean,
): { claims: Claim[]; findings: string[] } {
  const claims: Claim[] = [];
  const findings: string[] = [];
  for (const comparison of comparisons) {
    const { method, against, winRate } = comparison;
    if (method.objective === 'dpo') {
      findings.push(`${method.label} against the model before tuning: ${show(comparison)}.`);
    }
    const paper = method.shuffle ? undefined : paperValue(kind, method);
    if (!against.startsWith('dpo') || paper === undefined) continue;
    const control = controlOf(method, comparisons);
    if (control !== undefined) findings.push(control.finding);
    const note = [
      ...(control === undefined ? [] : [control.note]),
      ...(kind === 'ultrafeedback'
        ? [
            'The paper’s numbers are win rates of each against GPT-4 on AlpacaEval 2; ours is a judge’s direct comparison.',
          ]
        : []),
    ].join(' ');
    claims.push({
      claim: `${method.label} wins against DPO`,
      paper: paper.text,
      ours: show(comparison),
      // The paper's direction, and not by chance.
      verdict: verdictOn(
        testable && hasInterval(winRate),
        paper.better ? winRate.low > 50 : winRate.high < 50,
      ),
      ...(note !== '' && { note }),
    });
  }
  if (comparisons.some(({ runs }) => runs === 1)) {
    findings.push(
      'Each method was trained with one seed: the intervals cover prompts, and say nothing about the luck of training, which more seeds cover (--set training.seeds=N).',
    );
  }
  return { claims, findings };
}

/** What the shuffled control, with the same weights on the wrong prompts, says of a method; undefined without one. */
function controlOf(
  method: Method,
  comparisons: readonly Comparison[],
): { readonly note: string; readonly finding: string } | undefined {
  const control = comparisons.find((one) => isControlOf(one.method, method) && one.against.startsWith('dpo'));
  const over = comparisons.find(
    (one) => one.method.label === method.label && one.against === control?.method.label,
  );
  if (control === undefined || over === undefined) return undefined;
  const { low, high } = over.winRate;
  const words =
    low > 50
      ? 'the weights’ own prompts help'
      : high < 50
        ? 'the weights’ own prompts hurt'
        : 'the two are not told apart: nothing here shows that it matters which prompt has which weight';
  return {
    note: `The shuffled control against DPO: ${show(control)}; ${method.objective} against its control: ${show(over)}.`,
    finding: `${method.label} against its shuffled control, which has the same weights on the wrong prompts: ${show(over)}; ${words}.`,
  };
}

function paperValue(
  kind: AlignmentKind,
  { objective, beta, learningRate }: Method,
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

/** What a reward model that agrees with people no more than a coin means for everything that it decides. */
export function rewardFindings(
  accuracy: { readonly estimate: number; readonly low: number; readonly high: number } | null,
  decides: { readonly pairs: boolean; readonly judging: boolean },
): string[] {
  if (accuracy === null || accuracy.low > 0.5 || !(decides.pairs || decides.judging)) return [];
  const { estimate, low, high } = accuracy;
  const decided = [
    ...(decides.pairs ? ['which answers are trained on'] : []),
    ...(decides.judging ? ['who wins'] : []),
  ].join(' and ');
  return [
    `The reward model is right on ${(100 * estimate).toFixed(1)} % (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}) of held-out pairs, no more than chance. It decides ${decided}: win rates here say how far a method follows it, not what people prefer. More pairs (--set reward.pairs=N) or --reward MODEL make a better one.`,
  ];
}

function show({ winRate, answers, wins, ties, losses, ...left }: Comparison): string {
  const { estimate, low, high } = winRate;
  const rate = hasInterval(winRate)
    ? `${estimate.toFixed(1)} % (${low.toFixed(1)} to ${high.toFixed(1)})`
    : `${wins} won, ${ties} tied, ${losses} lost (too few prompts for an interval)`;
  return `${rate} of ${answers} answers${leftOutWords(left)}`;
}

/** `, 3 more without a verdict (2 refused by the judge, 1 that cannot be read)` */
function leftOutWords({ refused, cutOff, unparsable }: LeftOutPairs): string {
  const reasons = [
    [refused, 'refused by the judge'],
    [cutOff, 'cut off before it'],
    [unparsable, 'that cannot be read'],
  ] as const;
  const told = reasons.flatMap(([answers, why]) => (answers > 0 ? [`${answers} ${why}`] : []));
  if (told.length === 0) return '';
  return `, ${refused + cutOff + unparsable} more without a verdict (${told.join(', ')})`;
}
