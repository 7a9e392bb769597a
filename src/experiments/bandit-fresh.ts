import { holm, type Interval, pairedBootstrap, RandomStream, signTest } from '../stats/index.ts';
import { type PoolOptions, trainAll } from './bandit-pool.ts';
import { PAPER_PAIRS, samplePairs } from './bandit-problem.ts';
import type { BanditObjective, BanditOutcome, BanditRun } from './bandit-train.ts';

/**
 * Beyond the paper: its 16 comparisons are one draw from the arms. Here are many, so that a difference between objectives
 * has a confidence interval.
 */
export interface FreshOptions {
  readonly samples: number;
  /** learningRate · epochs = 2,500, as in the paper: the same stretch of gradient flow in larger steps. */
  readonly epochs: number;
  readonly learningRate: number;
  readonly betas: readonly number[];
  /** The β at which objectives are compared directly, and along training at equal KL. One of `betas`. */
  readonly beta: number;
  readonly klLevels: readonly number[];
  readonly seed: number | string;
}

export const FRESH_DEFAULTS: FreshOptions = {
  samples: 200,
  epochs: 25_000,
  learningRate: 0.1,
  betas: [0.01, 0.02, 0.05, 0.1, 0.3, 1],
  beta: 0.05,
  klLevels: [0.2, 0.3, 0.4],
  seed: 0,
};

export interface FreshComparison {
  readonly measure: string;
  readonly higherIsBetter: boolean;
  readonly first: string;
  readonly second: string;
  /** Samples in which both have the measure. */
  readonly count: number;
  readonly firstMean: number;
  readonly secondMean: number;
  /** Mean of first − second with its 95 % bootstrap interval. */
  readonly difference: Interval;
  /** Samples in which first is better, equal (to 1e-9), worse. */
  readonly better: number;
  readonly equal: number;
  readonly worse: number;
  /** Sign test, adjusted (Holm) over all comparisons. */
  readonly pValue: number;
}

export interface FreshReport {
  readonly settings: FreshOptions;
  readonly comparisons: readonly FreshComparison[];
  /** Comparisons that fewer than two samples allow, e.g. because training never reached a KL level. */
  readonly unmeasured: readonly string[];
}

const OBJECTIVES: readonly BanditObjective[] = [
  { objective: 'dpo', smoothing: null },
  { objective: 'mallows-phi', smoothing: 'raw' },
  { objective: 'mallows-phi', smoothing: 'cubic' },
];

export function objectiveLabel({ objective, smoothing }: BanditObjective): string {
  return smoothing === null ? objective : `${objective} (${smoothing})`;
}

/** The reward when KL first reaches `level` along a training run; NaN when it never does. */
export function rewardAtKl(
  { reward, kl }: { readonly reward: readonly number[]; readonly kl: readonly number[] },
  level: number,
): number {
  for (let i = 1; i < kl.length; i++) {
    const before = kl[i - 1]!;
    const after = kl[i]!;
    if (before < level && level <= after) {
      const share = (level - before) / (after - before);
      return reward[i - 1]! + share * (reward[i]! - reward[i - 1]!);
    }
  }
  return Number.NaN;
}

interface Measure {
  readonly name: string;
  readonly higherIsBetter: boolean;
  /** From one sample's outcomes over the betas. */
  of(outcomes: readonly BanditOutcome[]): number;
}

function measures({ betas, beta, klLevels }: FreshOptions): Measure[] {
  const smallest = Math.min(...betas);
  const at = (outcomes: readonly BanditOutcome[], wanted: number): BanditOutcome =>
    outcomes.find((outcome) => outcome.beta === wanted)!;
  return [
    {
      name: 'best reward over β',
      higherIsBetter: true,
      of: (outcomes) => Math.max(...outcomes.map(({ reward }) => reward)),
    },
    { name: `reward at β = ${beta}`, higherIsBetter: true, of: (outcomes) => at(outcomes, beta).reward },
    ...klLevels.map((level) => ({
      name: `reward at KL ${level} during training, β = ${beta}`,
      higherIsBetter: true,
      of: (outcomes: readonly BanditOutcome[]) => rewardAtKl(at(outcomes, beta).trajectory!, level),
    })),
    ...[beta, smallest].map((wanted) => ({
      name: `largest arm probability at β = ${wanted}`,
      higherIsBetter: false,
      of: (outcomes: readonly BanditOutcome[]) => Math.max(...at(outcomes, wanted).policy),
    })),
  ];
}

function compare(
  measure: Measure,
  objectives: readonly [BanditObjective, BanditObjective],
  samples: readonly [BanditOutcome[][], BanditOutcome[][]],
  seed: number | string,
): FreshComparison | string {
  const [all, others] = samples.map((outcomes) => outcomes.map((one) => measure.of(one)));
  const both = all!.map((value, i) => [value, others![i]!] as const).filter(([a, b]) => !Number.isNaN(a + b));
  const [firstName, secondName] = objectives.map(objectiveLabel) as [string, string];
  if (both.length < 2) return `${measure.name}: ${firstName} against ${secondName}`;
  const first = both.map(([a]) => a);
  const second = both.map(([, b]) => b);
  const sign = measure.higherIsBetter ? 1 : -1;
  // Runs that reach the same policy differ in the last bits only: call them equal.
  const differences = both.map(([a, b]) => (Math.abs(a - b) <= 1e-9 ? 0 : sign * (a - b)));
  const difference = pairedBootstrap(first, second, { seed });
  return {
    measure: measure.name,
    higherIsBetter: measure.higherIsBetter,
    first: firstName,
    second: secondName,
    count: both.length,
    firstMean: first.reduce((total, value) => total + value, 0) / both.length,
    secondMean: second.reduce((total, value) => total + value, 0) / both.length,
    difference,
    better: differences.filter((value) => value > 0).length,
    equal: differences.filter((value) => value === 0).length,
    worse: differences.filter((value) => value < 0).length,
    pValue: signTest(
      differences,
      differences.map(() => 0),
    ).pValue,
  };
}

export async function compareOnFreshSamples(
  phi: number,
  settings: FreshOptions,
  pool: PoolOptions,
): Promise<FreshReport> {
  const stream = RandomStream.create(settings.seed, 'bandit-samples');
  const samples = Array.from({ length: settings.samples }, (_, sample) =>
    samplePairs(PAPER_PAIRS.length, stream.stream(String(sample))),
  );
  const recordEvery = Math.max(1, Math.round(settings.epochs / 500));
  const runs = OBJECTIVES.flatMap((objective) =>
    samples.flatMap((pairs) =>
      settings.betas.map(
        (beta): BanditRun => ({
          ...objective,
          pairs,
          beta,
          phi,
          epochs: settings.epochs,
          learningRate: settings.learningRate,
          ...(beta === settings.beta && { recordEvery }),
        }),
      ),
    ),
  );
  const outcomes = await trainAll(runs, pool);
  const perSample = settings.betas.length;
  const grouped = OBJECTIVES.map((_, objective) =>
    samples.map((_, sample) => {
      const start = (objective * samples.length + sample) * perSample;
      return outcomes.slice(start, start + perSample);
    }),
  );
  const compared = [1, 2].flatMap((mallows) =>
    measures(settings).map((measure) =>
      compare(
        measure,
        [OBJECTIVES[mallows]!, OBJECTIVES[0]!],
        [grouped[mallows]!, grouped[0]!],
        settings.seed,
      ),
    ),
  );
  const comparisons = compared.filter((one) => typeof one !== 'string');
  const adjusted = holm(comparisons.map(({ pValue }) => pValue));
  return {
    settings,
    comparisons: comparisons.map((one, i) => ({ ...one, pValue: adjusted[i]! })),
    unmeasured: compared.filter((one) => typeof one === 'string'),
  };
}
