import { type LoadedModel, type LoadOptions, loadClassifier } from '../../checkpoints/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { type ScoreWatch, type SequenceTokens, scoreSequences } from './score-pass.ts';

/** How a scoring model is opened. */
export interface ScorerLoadOptions extends LoadOptions {
  /** Tokens of what is scored at most, within what the model's positions allow. */
  readonly maxLength?: number;
}

/** A sequence-classification checkpoint, whose scores a subclass gives a meaning. */
export abstract class Scorer {
  readonly loaded: LoadedModel<SequenceClassifier>;
  protected readonly maxLength: number;

  constructor(loaded: LoadedModel<SequenceClassifier>, maxLength: number) {
    this.loaded = loaded;
    this.maxLength = Math.min(maxLength, loaded.config.maxPositions);
  }

  /** Frees the model. */
  dispose(): void {
    this.loaded.model.dispose();
  }

  /** `[sequences · labels]`, in the order given. */
  protected scores(sequences: readonly SequenceTokens[], watch?: ScoreWatch): Promise<Float64Array> {
    return scoreSequences(this.loaded.model, sequences, watch);
  }
}

/** Loads a checkpoint for a scorer, and frees it again where the scorer refuses it. */
export async function loadScorer<S extends Scorer>(
  Kind: new (loaded: LoadedModel<SequenceClassifier>, maxLength?: number) => S,
  spec: string,
  { maxLength, ...options }: ScorerLoadOptions,
): Promise<S> {
  const loaded = await loadClassifier(spec, options);
  try {
    return new Kind(loaded, maxLength);
  } catch (error) {
    loaded.model.dispose();
    throw error;
  }
}
