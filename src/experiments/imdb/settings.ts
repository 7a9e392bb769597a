import type { ArmTraining } from '../shared/arms.ts';

/** Everything that `mallows reproduce imdb` depends on besides the reviews. */
export interface ImdbSettings {
  readonly model: string;
  readonly seed: number;
  /** Words of a review that are a prompt. */
  readonly openingWords: number;
  readonly classifier: {
    /** A trained classifier; null: one is trained on the labelled reviews. */
    readonly model: string | null;
    readonly reviews: number;
    readonly heldOut: number;
    readonly maxLength: number;
    readonly epochs: number;
    readonly learningRate: number;
    readonly batch: number;
    /** Upper layers that are trained. */
    readonly trainedLayers: number;
  };
  readonly sft: {
    readonly reviews: number;
    readonly epochs: number;
    readonly learningRate: number;
    readonly optimizer: 'adamw' | 'rmsprop';
    readonly warmupSteps: number;
    readonly batch: number;
    readonly accumulate: number;
    readonly maxLength: number;
  };
  readonly sampling: { readonly prompts: number; readonly samples: number; readonly maxNewTokens: number };
  readonly training: ArmTraining;
  /** Openings answered at each moment of the frontier, and steps between moments. */
  readonly frontier: { readonly prompts: number; readonly every: number };
}

const OBJECTIVES = ['dpo', 'mallows-theta', 'mallows-phi'];

/**
 * `paper`: section 5.3 and C.2 (RMSprop 1e-6, 150 warm-up steps, batch 64; GPT-2-large). What the paper leaves open (how
 * many prompts and samples, lengths, β) is ours. `small`: SmolLM2-135M-Instruct in under half an hour on two CPU cores with
 * bf16 products; fewer, shorter texts, and a rate that thirty updates can move something by.
 */
export const IMDB_SCALES: Readonly<Record<'small' | 'paper', ImdbSettings>> = {
  small: {
    model: 'smollm2-135m:gguf',
    seed: 0,
    openingWords: 8,
    classifier: {
      model: null,
      reviews: 1500,
      heldOut: 500,
      maxLength: 192,
      epochs: 1,
      learningRate: 1e-4,
      batch: 16,
      trainedLayers: 10,
    },
    sft: {
      reviews: 256,
      epochs: 1,
      learningRate: 2e-5,
      optimizer: 'adamw',
      warmupSteps: 4,
      batch: 8,
      accumulate: 1,
      maxLength: 64,
    },
    sampling: { prompts: 256, samples: 4, maxNewTokens: 32 },
    training: {
      objectives: OBJECTIVES,
      betas: [0.1],
      learningRates: [3e-5],
      seeds: 2,
      optimizer: 'rmsprop',
      schedule: 'constant',
      warmupSteps: 3,
      batch: 8,
      accumulate: 1,
      epochs: 1,
      maxLength: 128,
      checkpointEvery: 0,
    },
    frontier: { prompts: 128, every: 10 },
  },
  paper: {
    model: 'openai-community/gpt2-large',
    seed: 0,
    openingWords: 8,
    classifier: {
      model: null,
      reviews: 20_000,
      heldOut: 2000,
      maxLength: 256,
      epochs: 1,
      learningRate: 1e-5,
      batch: 32,
      trainedLayers: 36,
    },
    sft: {
      reviews: 20_000,
      epochs: 3,
      learningRate: 1e-5,
      optimizer: 'rmsprop',
      warmupSteps: 150,
      batch: 64,
      accumulate: 1,
      maxLength: 512,
    },
    sampling: { prompts: 10_000, samples: 4, maxNewTokens: 128 },
    training: {
      objectives: OBJECTIVES,
      betas: [0.05, 0.1, 0.5, 1],
      learningRates: [1e-6],
      seeds: 1,
      optimizer: 'rmsprop',
      schedule: 'constant',
      warmupSteps: 150,
      batch: 64,
      accumulate: 1,
      epochs: 3,
      maxLength: 512,
      checkpointEvery: 100,
    },
    frontier: { prompts: 512, every: 50 },
  },
};
