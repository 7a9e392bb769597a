import type { LoadedModel } from '../../checkpoints/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import type { LoopResult, LoraTraining, TrainOptions } from '../../train/index.ts';

/** Options that reward models and classifiers share, with the meanings that they have for preference tuning. */
export interface ScorerOptions
  extends Pick<
    TrainOptions,
    | 'output'
    | 'resume'
    | 'overwrite'
    | 'steps'
    | 'epochs'
    | 'batch'
    | 'schedule'
    | 'maxGradNorm'
    | 'dtype'
    | 'recompute'
    | 'checkpoint'
    | 'evaluation'
    | 'recipe'
    | 'observer'
    | 'signal'
  > {
  /** A language model, whose score head starts fresh, or a scoring model to go on with. */
  readonly model: string;
  /** Peak. Default 1e-5; with LoRA 1e-4. */
  readonly learningRate?: number;
  /** Default `auto`: the first CUDA device, else the CPU. */
  readonly device?: NonNullable<TrainOptions['device']>;
  /** Of the new score, the order of items and adapters' first values. Default 0. */
  readonly seed?: number;
  /** Train the upper so many layers only, with the final norm and the score: the backward pass ends there. Default: all. */
  readonly trainedLayers?: number;
  /** Train low-rank adapters on the layers and the whole score; they are merged when training ends. */
  readonly lora?: Omit<LoraTraining, 'merge'>;
}

export interface ScorerResult extends LoopResult {
  /**
   * The trained model, in the compute dtype. Its `source` is what was saved, or says that no file holds these weights.
   *
   * @remarks The caller frees it (`model.dispose()`).
   */
  readonly model: LoadedModel<SequenceClassifier>;
}
