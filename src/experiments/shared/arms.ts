import { createObjective } from '../../objectives/index.ts';
import type { OptimizerOptions } from '../../optim/index.ts';

/** One method of a comparison: an objective with its coefficients. */
export interface Method {
  /** `mallows-theta, β = 0.1`, with `shuffled` for a control. */
  readonly label: string;
  readonly objective: string;
  readonly beta: number;
  readonly learningRate: number;
  /** The same weights on the wrong prompts. */
  readonly shuffle: boolean;
}

/** One training run of a method. */
export interface Arm extends Method {
  readonly seed: number;
  /** The method's label, with the seed where there are several. */
  readonly name: string;
}

/** A trained arm. */
export interface ArmRun {
  readonly arm: Arm;
  /** Its run directory. */
  readonly path: string;
}

/** How preference tuning runs in an experiment; in the optimiser's and the trainer's own units. */
export interface ArmTraining {
  readonly objectives: readonly string[];
  readonly betas: readonly number[];
  readonly learningRates: readonly number[];
  /** Runs of each method: the experiment's seed and those after it. */
  readonly seeds: number;
  readonly optimizer: OptimizerOptions['name'];
  readonly schedule: 'linear' | 'cosine' | 'constant';
  readonly warmupSteps: number;
  /** Pairs of one pass, and passes of one update. */
  readonly batch: number;
  readonly accumulate: number;
  readonly epochs: number;
  readonly maxLength: number;
  /** Steps between checkpoints, from which a killed run goes on, beside those by the clock; 0: none. */
  readonly checkpointEvery: number;
}

/** Every objective at every β and rate, with a shuffled control beside each that weighs pairs by dispersion. */
export function methodsOf({ objectives, betas, learningRates }: ArmTraining): Method[] {
  return learningRates.flatMap((learningRate) =>
    betas.flatMap((beta) =>
      objectives.flatMap((objective) => {
        const rate = learningRates.length > 1 ? `, rate ${learningRate}` : '';
        const method = (shuffle: boolean): Method => ({
          label: `${objective}${shuffle ? ', shuffled' : ''}, β = ${beta}${rate}`,
          objective,
          beta,
          learningRate,
          shuffle,
        });
        const { usesDispersion } = createObjective({ name: objective });
        // One control a strength is enough: θ's tells whether w(x) itself or a re-scaling of β is at work.
        return usesDispersion && objective !== 'mallows-phi'
          ? [method(false), method(true)]
          : [method(false)];
      }),
    ),
  );
}

/** Every method under every seed, one seed after the other. */
export function armsOf(training: ArmTraining, firstSeed: number): Arm[] {
  const seeds = Array.from({ length: training.seeds }, (_, index) => firstSeed + index);
  return seeds.flatMap((seed) =>
    methodsOf(training).map((method) => ({
      ...method,
      seed,
      name: seeds.length > 1 ? `${method.label}, seed ${seed}` : method.label,
    })),
  );
}

/** Whether `other` is DPO at the setting of `method`, and `method` something else. */
export function isDpoBeside(other: Method, method: Method): boolean {
  return other.objective === 'dpo' && method.objective !== 'dpo' && sameSetting(other, method);
}

/** Whether `other` is the shuffled control of `method`. */
export function isControlOf(other: Method, method: Method): boolean {
  return (
    other.shuffle && !method.shuffle && other.objective === method.objective && sameSetting(other, method)
  );
}

function sameSetting(one: Method, other: Method): boolean {
  return one.beta === other.beta && one.learningRate === other.learningRate;
}

/** Folder name of an arm. */
export function armFolder({ name }: Arm): string {
  return name
    .replace(/β = /, 'beta-')
    .replace(/[^\p{L}\p{N}.]+/gu, '-')
    .replace(/^-|-$/g, '');
}

/** The trainer's options of an arm. */
export function armOptions(arm: Arm, training: ArmTraining) {
  return {
    objective: { name: arm.objective, beta: arm.beta },
    dispersion: { source: 'entropy', shuffle: arm.shuffle },
    optimizer: { name: training.optimizer },
    learningRate: arm.learningRate,
    schedule: { name: training.schedule, warmupSteps: training.warmupSteps },
    batch: { pairs: training.batch, accumulate: training.accumulate },
    epochs: training.epochs,
    maxLength: training.maxLength,
    checkpoint: { every: training.checkpointEvery },
    seed: arm.seed,
  } as const;
}
