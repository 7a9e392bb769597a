import {
  type LoadedModel,
  loadClassifier,
  type ModelCard,
  modelTensors,
  openModel,
  saveDirectory,
} from '../../checkpoints/index.ts';
import { Generator } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { linearsOf } from '../../models/linears.ts';
import { mergeLora } from '../../nn/lora.ts';
import type { RunDirectory } from '../../runs/index.ts';
import { settle } from '../../train/identity.ts';
import type { LoopOptions } from '../../train/loop.ts';
import { DEFAULT_LEARNING_RATES } from '../../train/options.ts';
import type { PassOptions, RowPass } from '../../train/pass.ts';
import { type RunSetup, setUpRun } from '../../train/run-setup.ts';
import type { ItemResults, LoopTask } from '../../train/task.ts';
import { TrainedWeights } from '../../train/trained-weights.ts';
import { TrainingSession } from '../../train/training-session.ts';
import type { ScorerOptions } from './options.ts';
import { type TrainedParts, trainedParts } from './trained-parts.ts';

/** What a scoring model learns, with the pass that teaches it. */
export interface ScorerTask extends LoopTask<ItemResults> {
  rowPass(options: Pick<PassOptions, 'recompute'>): RowPass<ItemResults>;
}

/** What the training of a scoring model sets up and takes down. */
export class ScorerSession extends TrainingSession<SequenceClassifier> {
  readonly #parts: TrainedParts;

  private constructor(
    options: ScorerOptions,
    setup: RunSetup,
    loaded: LoadedModel<SequenceClassifier>,
    parts: TrainedParts,
  ) {
    super(options, setup, loaded);
    this.#parts = parts;
  }

  /**
   * Loads the model and trains. What the options alone, or they and the model, rule out is an error here: before any data
   * are read. An error frees the model.
   */
  static async run<Result>(
    options: ScorerOptions,
    train: (session: ScorerSession) => Promise<Result>,
  ): Promise<Result> {
    const { lora, observer } = options;
    const setup = setUpRun(options, DEFAULT_LEARNING_RATES.scorer);
    const generator = new Generator(setup.seed, setup.device);
    const loaded = await loadClassifier(options.model, {
      // Full training starts its fp32 masters from the checkpoint's own precision; a frozen base needs none.
      dtype: lora === undefined ? 'float32' : setup.precision.dtype,
      device: setup.device,
      labels: 1,
      scoreGenerator: generator,
      notice: (message) => observer?.({ type: 'note', level: 'info', code: 'model', message }),
    });
    let session: ScorerSession | undefined;
    try {
      // A language model that comes as an adapter is its base with the adapter.
      mergeLora(linearsOf(loaded.model));
      const parts = trainedParts(loaded.model, options, generator);
      session = new ScorerSession(options, setup, loaded, parts);
      session.requireInputsKept();
      return await train(session);
    } catch (error) {
      session?.weights?.release();
      loaded.model.dispose();
      throw error;
    }
  }

  startTraining(): void {
    this.weights = new TrainedWeights(this.model, this.#parts.parameters, this.precision.dtype);
  }

  /** The options of the loop that trains on a task, without its evaluation. */
  loopOptions(run: RunDirectory | undefined, task: ScorerTask): LoopOptions<ItemResults> {
    const recompute = this.options.recompute === true;
    return { ...this.commonLoopOptions(run), task, rowPass: task.rowPass({ recompute }) };
  }

  /** Says beforehand what training takes, and whether it fits. */
  checkNeeds(task: ScorerTask): void {
    // A score head is as good as none beside one over the vocabulary.
    const withoutHead = { ...this.loaded.config, tiedEmbeddings: true };
    this.noteNeeds(withoutHead, task, (items) => ({
      rowTokens: items.reduce((sum, item) => sum + task.tokens(item), 0),
      headPositions: 0,
    }));
  }

  /** Ends training without saving. The model that it returns says that its weights are in memory only. */
  finish(): LoadedModel<SequenceClassifier> {
    this.#release();
    return settle(this.loaded);
  }

  /**
   * Ends training and saves the model, which says that it is there.
   *
   * @param label what its one score means
   */
  async save(run: RunDirectory, card: ModelCard, label: string): Promise<LoadedModel<SequenceClassifier>> {
    const { model, tokenizer, config } = this.loaded;
    this.#release();
    await saveDirectory(run.modelPath, {
      config: classifierConfig(config.raw, label, paddingOf(config)),
      tokenizer: tokenizer.files,
      tensors: modelTensors(model),
      card,
    });
    const { source, weights } = await openModel(run.modelPath);
    weights.close();
    return settle(this.loaded, source);
  }

  #release(): void {
    this.startedWeights().release();
    mergeLora(this.#parts.adapted);
  }
}

/**
 * The padding that transformers needs to score batches. A model without one gets its BOS, which no answer ends in: with
 * EOS, scores would be read one token earlier than in training.
 */
function paddingOf({ padTokenId, bosTokenId, eosTokenIds }: LoadedModel['config']): number | undefined {
  if (padTokenId !== undefined) return padTokenId;
  return bosTokenId !== undefined && !eosTokenIds.includes(bosTokenId) ? bosTokenId : undefined;
}

/** config.json of the classifier that belongs to a language model's. */
function classifierConfig(
  raw: Readonly<Record<string, unknown>>,
  label: string,
  padTokenId: number | undefined,
): Record<string, unknown> {
  const architectures = Array.isArray(raw.architectures) ? raw.architectures : [];
  return {
    ...raw,
    architectures: architectures.map((name) =>
      String(name).replace(/(ForCausalLM|LMHeadModel)$/, 'ForSequenceClassification'),
    ),
    num_labels: 1,
    id2label: { 0: label },
    label2id: { [label]: 0 },
    ...(padTokenId !== undefined && { pad_token_id: padTokenId }),
  };
}
