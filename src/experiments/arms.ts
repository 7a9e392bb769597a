import { createObjective } from '../objectives/index.ts';
import type { OptimizerOptions } from '../optim/index.ts';

/** One method of a comparison. */
export interface Arm {
  /** `mallows-theta, β = 0.1`, with `shuffled` for a control. */
  readonly label: string;
  readonly objective: string;
  readonly beta: number;
  readonly learningRate: number;
  /** The same weights on the wrong prompts. */
  readonly shuffle: boolean;
}

/** How preference tuning runs in an experiment; in the optimiser's and the trainer's own units. */
export interface ArmTraining {
  readonly objectives: readonly string[];
  readonly betas: readonly number[];
  readonly learningRates: readonly number[];
  readonly optimizer: OptimizerOptions['name'];
  readonly schedule: 'linear' | 'cosine' | 'constant';
  readonly warmupSteps: number;
  /** Pairs of one pass, and passes of one update. */
  readonly batch: number;
  readonly accumulate: number;
  readonly epochs: number;
  readonly maxLength: number;
}

/** Every objective at every β and rate, with a shuffled control beside each that weighs pairs by dispersion. */
export function armsOf({ objectives, betas, learningRates }: ArmTraining): Arm[] {
  return learningRates.flatMap((learningRate) =>
    betas.flatMap((beta) =>
      objectives.flatMap((objective) => {
        const rate = learningRates.length > 1 ? `, rate ${learningRate}` : '';
        const arm = (shuffle: boolean): Arm => ({
          label: `${objective}${shuffle ? ', shuffled' : ''}, β = ${beta}${rate}`,
          objective,
          beta,
          learningRate,
          shuffle,
        });
        const { usesDispersion } = createObjective({ name: objective });
        // One control a strength is enough: θ's tells whether w(x) itself or a re-scaling of β is at work.
        return usesDispersion && objective !== 'mallows-phi' ? [arm(false), arm(true)] : [arm(false)];
      }),
    ),
  );
}

/** Folder name of an arm. */
export function armFolder({ label }: Arm): string {
  return label
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
  } as const;
}
