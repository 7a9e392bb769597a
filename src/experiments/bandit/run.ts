import { banditClaims, freshFindings } from './claims.ts';
import type { BanditOptions, BanditReport, TrainingFrontier } from './contract.ts';
import { compareOnFreshSamples } from './fresh.ts';
import { trainAll } from './pool.ts';
import { PAPER_PAIRS } from './problem.ts';
import { BANDIT_BETAS, BANDIT_OBJECTIVES, FRESH_DEFAULTS, PAPER } from './settings.ts';
import type { BanditOutcome, BanditRun } from './train.ts';

/** `mallows reproduce bandit`: section 5.2 and Appendix C.1 of MallowsPO. */

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

function largestDifference({ policy }: BanditOutcome, other: BanditOutcome): number {
  return Math.max(...policy.map((p, arm) => Math.abs(p - other.policy[arm]!)));
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
  const theta = main.filter(({ objective }) => objective === 'mallows-theta');
  const thetaIsDpo = outcomes.slice(runs.length).map((twin, i) => {
    const own = theta.find(({ beta }) => beta === trainingBetas[i])!;
    return { beta: own.beta, dpoBeta: twin.beta, largestDifference: largestDifference(own, twin) };
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
    findings: report.fresh ? freshFindings(report.fresh) : [],
  };
}
