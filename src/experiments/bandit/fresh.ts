import { holm, pairedBootstrap, RandomStream, signTest } from '../../stats/index.ts';
import { valueWhenKlReaches } from '../shared/at-kl.ts';
import type { BanditObjective, FreshComparison, FreshOptions, FreshReport, PoolOptions } from './contract.ts';
import { trainAll } from './pool.ts';
import { PAPER_PAIRS, samplePairs } from './problem.ts';
import { FRESH_OBJECTIVES, objectiveLabel } from './settings.ts';
import type { BanditOutcome, BanditRun } from './train.ts';

interface Measure {
  readonly name: string;
  readonly higherIsBetter: boolean;
  /** From one sample's outcomes over the betas; undefined where they do not have it. */
  of(outcomes: readonly BanditOutcome[]): number | undefined;
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
      of: (outcomes: readonly BanditOutcome[]) => rewardAtKl(at(outcomes, beta), level),
    })),
    ...[beta, smallest].map((wanted) => ({
      name: `largest arm probability at β = ${wanted}`,
      higherIsBetter: false,
      of: (outcomes: readonly BanditOutcome[]) => Math.max(...at(outcomes, wanted).policy),
    })),
  ];
}

function rewardAtKl({ trajectory }: BanditOutcome, level: number): number | undefined {
  const { kl, reward } = trajectory!;
  return valueWhenKlReaches({ kl, value: reward }, level);
}

function compare(
  measure: Measure,
  objectives: readonly [BanditObjective, BanditObjective],
  samples: readonly [BanditOutcome[][], BanditOutcome[][]],
  seed: number | string,
): FreshComparison | string {
  const [all, others] = samples;
  const both = all.flatMap((outcomes, i) => {
    const [a, b] = [measure.of(outcomes), measure.of(others[i]!)];
    return a === undefined || b === undefined ? [] : [[a, b] as const];
  });
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
  const runs = FRESH_OBJECTIVES.flatMap((objective) =>
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
  const grouped = FRESH_OBJECTIVES.map((_, objective) =>
    samples.map((_, sample) => {
      const start = (objective * samples.length + sample) * perSample;
      return outcomes.slice(start, start + perSample);
    }),
  );
  const compared = [1, 2].flatMap((mallows) =>
    measures(settings).map((measure) =>
      compare(
        measure,
        [FRESH_OBJECTIVES[mallows]!, FRESH_OBJECTIVES[0]!],
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
