import type { ArmTraining } from '../shared/arms.ts';

/** Everything that `mallows reproduce hh` and `mallows reproduce ultrafeedback` depend on besides the data. */
export interface AlignmentSettings {
  readonly model: string;
  readonly seed: number;
  /** Tuning on the chosen answers first; null: the model is an instruct model already. */
  readonly sft: {
    readonly pairs: number;
    readonly epochs: number;
    readonly learningRate: number;
    readonly batch: number;
    readonly maxLength: number;
  } | null;
  readonly reward: {
    /** A reward model; null: one is trained on pairs held apart from all else. */
    readonly model: string | null;
    readonly pairs: number;
    readonly epochs: number;
    readonly learningRate: number;
    readonly batch: number;
    readonly maxLength: number;
    /** Upper layers that are trained. */
    readonly trainedLayers: number;
  };
  /** Pairs (hh) or prompts (ultrafeedback) that preference tuning learns from. */
  readonly pairs: number;
  /** Answers sampled from the model to each prompt, of which best and worst make the pair; null: the data’s own pairs. */
  readonly onPolicy: {
    readonly samples: number;
    readonly temperature: number;
    readonly topP: number;
    readonly maxNewTokens: number;
  } | null;
  readonly training: ArmTraining;
  /** Held-out prompts that every method answers, each as often as there are generation seeds. */
  readonly evaluation: {
    readonly prompts: number;
    readonly seeds: number;
    readonly temperature: number;
    readonly topP: number;
    readonly maxNewTokens: number;
  };
}

export type AlignmentKind = 'hh' | 'ultrafeedback';

const SMALL: AlignmentSettings = {
  model: 'smollm2-135m:gguf',
  seed: 0,
  sft: null,
  reward: {
    model: null,
    pairs: 640,
    epochs: 1,
    learningRate: 1e-4,
    batch: 8,
    maxLength: 256,
    trainedLayers: 10,
  },
  pairs: 240,
  onPolicy: null,
  training: {
    objectives: ['dpo', 'mallows-theta', 'mallows-phi'],
    betas: [0.1],
    learningRates: [2e-5],
    seeds: 2,
    optimizer: 'rmsprop',
    schedule: 'constant',
    warmupSteps: 2,
    batch: 8,
    accumulate: 1,
    epochs: 1,
    maxLength: 256,
    checkpointEvery: 0,
  },
  evaluation: { prompts: 200, seeds: 1, temperature: 0.7, topP: 1, maxNewTokens: 48 },
};

/**
 * `paper`: Pythia-2.8B, RMSprop 1e-6, batch 32, 150 warm-up steps, β .1 and .5 (sections 5.4, C.3, D.1); Llama-3-8B-Instruct,
 * five answers a prompt, β .1, .05, .01 at rates 1e-6 and 5e-7, batch 256, cosine (sections 5.5, D.2; follow-up recipe).
 * `small`: SmolLM2-135M-Instruct in about half an hour on two CPU cores with bf16 products, with a rate that thirty updates
 * can move something by.
 */
export const ALIGNMENT_SCALES: Readonly<
  Record<AlignmentKind, Readonly<Record<'small' | 'paper', AlignmentSettings>>>
> = {
  hh: {
    small: {
      ...SMALL,
      sft: { pairs: 240, epochs: 1, learningRate: 2e-5, batch: 8, maxLength: 256 },
    },
    paper: {
      model: 'EleutherAI/pythia-2.8b',
      seed: 0,
      sft: { pairs: 150_000, epochs: 1, learningRate: 1e-6, batch: 32, maxLength: 512 },
      reward: {
        model: null,
        pairs: 10_000,
        epochs: 1,
        learningRate: 1e-5,
        batch: 32,
        maxLength: 512,
        trainedLayers: 32,
      },
      pairs: 150_000,
      onPolicy: null,
      training: {
        objectives: ['dpo', 'mallows-theta', 'mallows-phi'],
        betas: [0.1, 0.5],
        learningRates: [1e-6],
        seeds: 1,
        optimizer: 'rmsprop',
        schedule: 'constant',
        warmupSteps: 150,
        batch: 32,
        accumulate: 1,
        epochs: 1,
        maxLength: 512,
        checkpointEvery: 500,
      },
      evaluation: { prompts: 300, seeds: 1, temperature: 1, topP: 1, maxNewTokens: 256 },
    },
  },
  ultrafeedback: {
    small: {
      ...SMALL,
      reward: { ...SMALL.reward, pairs: 320, maxLength: 384 },
      onPolicy: { samples: 5, temperature: 0.8, topP: 1, maxNewTokens: 64 },
      // The paper has no MallowsPO-φ here.
      training: { ...SMALL.training, objectives: ['dpo', 'mallows-theta'], maxLength: 320 },
      evaluation: { ...SMALL.evaluation, prompts: 120, maxNewTokens: 64 },
    },
    paper: {
      model: 'meta-llama/Meta-Llama-3-8B-Instruct',
      seed: 0,
      sft: null,
      reward: {
        model: null,
        pairs: 10_000,
        epochs: 1,
        learningRate: 5e-6,
        batch: 32,
        maxLength: 2048,
        trainedLayers: 32,
      },
      pairs: 50_000,
      onPolicy: { samples: 5, temperature: 0.8, topP: 0.95, maxNewTokens: 2048 },
      training: {
        objectives: ['dpo', 'mallows-theta'],
        betas: [0.1, 0.05, 0.01],
        learningRates: [1e-6, 5e-7],
        seeds: 1,
        optimizer: 'adamw',
        schedule: 'cosine',
        warmupSteps: 20,
        batch: 8,
        accumulate: 32,
        epochs: 1,
        maxLength: 2048,
        checkpointEvery: 25,
      },
      evaluation: { prompts: 805, seeds: 10, temperature: 0.9, topP: 1, maxNewTokens: 2048 },
    },
  },
};
