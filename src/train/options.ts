import type { LoadedModel } from '../checkpoints/index.ts';
import type { LoadPairsOptions } from '../data/index.ts';
import type { Device } from '../engine/index.ts';
import type { OptimizerOptions, ScheduleOptions } from '../optim/index.ts';
import type { BatchOptions, TrainObserver } from './contract.ts';
import type { TrainingDType } from './precision.ts';

/** Options that preference tuning and SFT share. Everything but `model` has a default. */
export interface TrainOptions {
  /**
   * A specification (`smollm2-135m`, a directory, a .gguf file, a hub id), or a model in memory, which is trained in place.
   * One whose weights were trained and not saved has no reference scores kept; it cannot be the base of a saved adapter, nor
   * have full fine-tuning measure its KL. While it is trained nobody else may train it, generate with it, score with it, save
   * it or merge its adapters (`model-in-use`): load it again for that.
   */
  readonly model: string | LoadedModel;
  /** Run directory. Without one there are no metrics, checkpoints or model on disk, only `referenceCache`. */
  readonly output?: string;
  /** Go on with the run in `output`; a warning says so if there is none, and a new one begins. */
  readonly resume?: boolean;
  /** Delete the run in `output` first. Answers, rewards and verdicts beside it go to `output`/replaced. */
  readonly overwrite?: boolean;

  /** How rows are read, of files and in memory: format, style, columns, strictness, access to the hub. */
  readonly reading?: Omit<LoadPairsOptions, 'signal'>;
  /** Tokens of prompt and completion together. Default 1024, or the model's context where that is shorter. */
  readonly maxLength?: number;
  /**
   * Share of the data held out when no evaluation data are given, below 1; rows with one prompt stay together. Default 0.1.
   */
  readonly evalFraction?: number;
  /**
   * Of the choice of rows that are held out, evaluated and asked for the KL. Default 0, whatever `seed` is: runs under several seeds are measured on the
   * same rows.
   */
  readonly evalSeed?: number;
  /** Updates; excludes `epochs`. */
  readonly steps?: number;
  /** Passes over the data. Default 1. */
  readonly epochs?: number;
  /** Default 8 pairs, no accumulation. */
  readonly batch?: BatchOptions;
  /** Default AdamW without weight decay. */
  readonly optimizer?: OptimizerOptions;
  /** Peak. Default 1e-6 (SFT 2e-5); with LoRA 1e-4. */
  readonly learningRate?: number;
  /** Default linear without warm-up, as in TRL. */
  readonly schedule?: ScheduleOptions;
  /** Global norm that gradients are clipped to; 0: not at all. Default 1. */
  readonly maxGradNorm?: number;
  /** Train low-rank adapters instead of all weights. */
  readonly lora?: LoraTraining;
  /** Default `auto`: bf16 where the hardware multiplies it, else fp32. */
  readonly dtype?: TrainingDType;
  /** Default `auto`: the first CUDA device, else the CPU; a model in memory is trained where it is. */
  readonly device?: Device | 'auto';
  /** Compute each layer's activations again in the backward pass: far less memory, a third more time. */
  readonly recompute?: boolean;
  /** Of shuffling, sampling and adapters' first values. Default 0. */
  readonly seed?: number;
  readonly shuffle?: boolean;

  readonly evaluation?: EvaluationOptions;
  readonly checkpoint?: CheckpointOptions;
  /**
   * What is written to recipe.yaml, and compared on resume, as are model, data and precision. `output`, `threads`,
   * `referenceCache` and `checkpoint` in it may differ. Default: these options, under their own names.
   */
  readonly recipe?: unknown;
  /**
   * Where scores of reference models are kept that have files. Default: the cache folder; `false`: nowhere. One that cannot
   * be written is a warning.
   */
  readonly referenceCache?: string | false;
  /** Nothing waits for what it begins, so it may not read the model that is trained; a probe may, and awaits it. */
  readonly observer?: TrainObserver;
  /**
   * Finish the step in progress, save a checkpoint, return with status `interrupted`. An evaluation in progress stops; the
   * resumed run begins with it. Before training, while rows are read and tokenised, during the reference pass and the first
   * samples, there is no step to finish: training throws the signal's reason, and what was scored by then stays in
   * `referenceCache`.
   */
  readonly signal?: AbortSignal;
}

export interface LoraTraining {
  /** Default 16. */
  readonly rank?: number;
  /** Default 2 · rank. */
  readonly alpha?: number;
  /** Name suffixes such as `q_proj`. Default: all linear maps of every layer. */
  readonly targetModules?: readonly string[];
  /** Also save the base model with the adapters merged in. Default false. */
  readonly merge?: boolean;
}

export interface EvaluationOptions {
  /** Steps between evaluations; 0 (default): at the start and the end only. */
  readonly every?: number;
  /** Evaluate on so many held-out rows, drawn by prompt with `evalSeed`. Default: all. */
  readonly maxPairs?: number;
  /** Held-out prompts, drawn with `evalSeed`, answered greedily before and after training. Default 0. */
  readonly samples?: number;
  /** Held-out prompts, drawn with `evalSeed`, answered at each evaluation for the KL to the reference. Default 0. */
  readonly klSamples?: number;
  /** Length limit of both. Default 96. */
  readonly maxNewTokens?: number;
}

export interface CheckpointOptions {
  /** Steps between checkpoints; 0 (default): none by steps. When interrupted, when an evaluation fails and at the end is one. */
  readonly every?: number;
  /**
   * Minutes after which a step is followed by a checkpoint, counted from the last one; 0: none by the clock. Default 15, and 0
   * where `every` says when.
   */
  readonly minutes?: number;
  /** Checkpoints kept, the newest, whichever asked for them. Default 1. */
  readonly keep?: number;
}

/** What a run that is killed loses at most, and one of minutes does not notice. */
export const DEFAULT_CHECKPOINT_MINUTES = 15;

/** Those by the clock would push those by steps out of what is kept, so that they are written together on request only. */
export function checkpointMinutes({ every = 0, minutes }: CheckpointOptions = {}): number {
  return minutes ?? (every > 0 ? 0 : DEFAULT_CHECKPOINT_MINUTES);
}

export const DEFAULT_MAX_NEW_TOKENS = 96;

/** Pairs or examples that an update reads at once. */
export const DEFAULT_PAIRS = 8;

/** Peaks: of all weights in preference tuning, in SFT, and of a model that scores; of adapters in all of them. */
export const DEFAULT_LEARNING_RATES = { preference: 1e-6, sft: 2e-5, scorer: 1e-5, lora: 1e-4 } as const;

export const DEFAULT_LORA_RANK = 16;

export function defaultLoraAlpha(rank: number): number {
  return 2 * rank;
}
