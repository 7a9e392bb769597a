import { banditClaims } from './bandit-claims.ts';
import {
  compareOnFreshSamples,
  FRESH_DEFAULTS,
  type FreshOptions,
  type FreshReport,
} from './bandit-fresh.ts';
import { type PoolOptions, trainAll } from './bandit-pool.ts';
import { PAPER_PAIRS } from './bandit-problem.ts';
import type { BanditObjective, BanditOutcome, BanditRun } from './bandit-train.ts';
import type { Claim } from './claims.ts';

/** `mallows reproduce bandit`: section 5.2 and Appendix C.1 of MallowsPO. */

export interface BanditOptions extends PoolOptions {
  readonly epochs?: number;
  readonly learningRate?: number;
  readonly phi?: number;
  readonly betas?: readonly number[];
  /** β of the frontier over training, which averages over them. Also trained as part of `betas`. */
  readonly trainingBetas?: readonly number[];
  readonly recordEvery?: number;
  /** Comparison on fresh samples; false leaves it out. */
  readonly fresh?: Partial<FreshOptions> | false;
}

/** One trained policy: the mean of the last 30 epochs. */
export interface BanditResult extends BanditObjective {
  readonly beta: number;
  readonly policy: readonly number[];
  readonly reward: number;
  readonly kl: number;
}

export interface TrainingFrontier extends BanditObjective {
  readonly epochs: readonly number[];
  /** Means over the training β. */
  readonly reward: readonly number[];
  readonly kl: readonly number[];
}

/** The content of report.json. */
export interface BanditReport {
  readonly experiment: 'bandit';
  readonly settings: {
    readonly epochs: number;
    readonly learningRate: number;
    readonly phi: number;
    /** 2t, which turns θ at β into DPO at thetaFactor·β. */
    readonly thetaFactor: number;
    readonly betas: readonly number[];
    readonly trainingBetas: readonly number[];
    readonly recordEvery: number;
  };
  readonly results: readonly BanditResult[];
  readonly trainingFrontiers: readonly TrainingFrontier[];
  readonly thetaIsDpo: readonly {
    readonly beta: number;
    readonly dpoBeta: number;
    readonly largestDifference: number;
  }[];
  readonly fresh?: FreshReport;
  readonly claims: readonly Claim[];
  /** What holds and what does not, in sentences. */
  readonly findings: readonly string[];
}

export const BANDIT_OBJECTIVES: readonly BanditObjective[] = [
  { objective: 'dpo', smoothing: null },
  { objective: 'mallows-phi', smoothing: 'raw' },
  { objective: 'mallows-phi', smoothing: 'cubic' },
  { objective: 'mallows-theta', smoothing: null },
];

/** 21 log-spaced values over [.005, 2]. */
export const BANDIT_BETAS: readonly number[] = Array.from({ length: 21 }, (_, i) =>
  Number((0.005 * 400 ** (i / 20)).toPrecision(12)),
);

const PAPER = { epochs: 500_000, learningRate: 5e-3, phi: 0.05 } as const;

function averageTrajectories(outcomes: readonly BanditOutcome[], recordEvery: number): TrainingFrontier {
  const [first] = outcomes;
  const mean = (key: 'reward' | 'kl'): number[] =>
    first!.trajectory![key].map(
      (_, i) => outcomes.reduce((total, { trajectory }) => total + trajectory![key][i]!, 0) / outcomes.length,
    );
  return {
    objective: first!.objective,
    smoothing: first!.smoothing,
    epochs: first!.trajectory!.reward.map((_, i) => (i + 1) * recordEvery),
    reward: mean('reward'),
    kl: mean('kl'),
  };
}

/** Runs the whole experiment. Deterministic: the same options give the same report on any number of workers. */
export async function runBandit(options: BanditOptions = {}): Promise<BanditReport> {
  const {
    epochs = PAPER.epochs,
    learningRate = PAPER.learningRate,
    phi = PAPER.phi,
    trainingBetas = [0.05, 0.1, 0.5, 1],
    recordEvery = 100,
    fresh = {},
    ...pool
  } = options;
  const betas = [...new Set([...(options.betas ?? BANDIT_BETAS), ...trainingBetas])].sort((a, b) => a - b);
  const thetaFactor = -2 * Math.log(phi);
  const common = { pairs: PAPER_PAIRS, phi, epochs, learningRate };
  const runs = BANDIT_OBJECTIVES.flatMap((objective) =>
    betas.map(
      (beta): BanditRun => ({
        ...objective,
        ...common,
        beta,
        ...(trainingBetas.includes(beta) && { recordEvery }),
      }),
    ),
  );
  const twins = trainingBetas.map(
    (beta): BanditRun => ({
      objective: 'dpo',
      smoothing: null,
      ...common,
      beta: thetaFactor * beta,
    }),
  );
  const outcomes = await trainAll([...runs, ...twins], pool);
  const main = outcomes.slice(0, runs.length);
  const thetaIsDpo = outcomes.slice(runs.length).map((twin, i) => {
    const theta = main.find(
      ({ objective, beta }) => objective === 'mallows-theta' && beta === trainingBetas[i],
    )!;
    return {
      beta: theta.beta,
      dpoBeta: twin.beta,
      largestDifference: Math.max(...theta.policy.map((p, arm) => Math.abs(p - twin.policy[arm]!))),
    };
  });
  const report = {
    experiment: 'bandit' as const,
    settings: { epochs, learningRate, phi, thetaFactor, betas, trainingBetas, recordEvery },
    results: main.map(({ trajectory: _, ...result }) => result),
    trainingFrontiers: BANDIT_OBJECTIVES.map(({ objective, smoothing }) =>
      averageTrajectories(
        main.filter((one) => one.objective === objective && one.smoothing === smoothing && one.trajectory),
        recordEvery,
      ),
    ),
    thetaIsDpo,
    ...(fresh !== false && {
      fresh: await compareOnFreshSamples(phi, { ...FRESH_DEFAULTS, ...fresh }, pool),
    }),
  };
  const asInPaper = epochs === PAPER.epochs && learningRate === PAPER.learningRate && phi === PAPER.phi;
  return {
    ...report,
    claims: banditClaims(report, asInPaper),
    findings: report.fresh ? describeFresh(report.fresh) : [],
  };
}

/** Plain sentences on the fresh samples: a difference counts only if its interval leaves out zero and the sign test agrees. */
function describeFresh({ settings, comparisons, unmeasured }: FreshReport): string[] {
  const sentences = comparisons.map((one) => {
    const { estimate, low, high } = one.difference;
    const [sign, clear] = [one.higherIsBetter ? 1 : -1, (low > 0 || high < 0) && one.pValue < 0.05];
    const verdict = !clear ? 'not told apart from' : sign * estimate > 0 ? 'better than' : 'worse than';
    const range = `${estimate.toFixed(3)} (95 % interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
    return `Over ${one.count} of ${settings.samples} fresh samples, ${one.first} is ${verdict} ${one.second} in ${one.measure}: mean difference ${range}; better in ${one.better}, equal in ${one.equal}, worse in ${one.worse}; p = ${one.pValue.toPrecision(2)} (sign test, Holm).`;
  });
  return [...sentences, ...unmeasured.map((one) => `Too few samples reach what this compares: ${one}.`)];
}
