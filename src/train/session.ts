import {
  type LoadedModel,
  loadModel,
  type ModelCard,
  modelTensors,
  openModel,
  saveAdapter,
  saveDirectory,
} from '../checkpoints/index.ts';
import { type DType, type FloatDType, Generator, releaseFreeMemory } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { chatGenerationConfig } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { outsideTraining, requireUnread, whileTraining } from '../models/in-use.ts';
import { linearsOf } from '../models/linears.ts';
import type { Linear } from '../nn/linear.ts';
import { attachLora, detachLora, loraTargets, mergeLora } from '../nn/lora.ts';
import type { RunDirectory } from '../runs/index.ts';
import { startTraining } from './compute.ts';
import { inMemoryOnly, leaveFiles, settle, withCurrentSource } from './identity.ts';
import type { WithReference } from './kl.ts';
import type { LoopOptions } from './loop.ts';
import { DEFAULT_LORA_RANK, defaultLoraAlpha, type LoraTraining, type TrainOptions } from './options.ts';
import { languageModelPass } from './pass.ts';
import { loadPinned } from './pinned.ts';
import { type RunSetup, setUpRun } from './run-setup.ts';
import type { ItemResults, Task } from './task.ts';
import { TrainedWeights } from './trained-weights.ts';
import { TrainingSession } from './training-session.ts';

/** What preference tuning and SFT set up and take down: the language model, its adapters and masters, its reference. */
export class Session extends TrainingSession<CausalLM> {
  /** What weights were rounded to before they compute in `precision`: coarser for a model that was given in less. */
  readonly weightsDType: FloatDType;
  readonly #lora: LoraSettings | undefined;
  /** The linear maps that carry an adapter which is trained. */
  #adapted: readonly Linear[] = [];

  private constructor(options: TrainOptions, setup: RunSetup, loaded: LoadedModel) {
    super(options, setup, loaded);
    this.#lora = options.lora && loraSettings(options.lora);
    this.weightsDType = isHalf(loaded.model.dtype) ? loaded.model.dtype : setup.precision.dtype;
  }

  /**
   * Loads the model and trains. What the options alone, or they and the model, rule out is an error here: before any data
   * are read. An error leaves nothing behind: a model that was loaded here is freed, and one that was given has no adapters.
   *
   * @param fullLearningRate the default for training all weights
   */
  static async run<Result>(
    options: TrainOptions,
    fullLearningRate: number,
    train: (session: Session) => Promise<Result>,
  ): Promise<Result> {
    const { model, observer } = options;
    const watched = observer === undefined ? options : { ...options, observer: outsideTraining(observer) };
    const open = () => Session.#open(watched, fullLearningRate);
    if (typeof model !== 'string') return whileTraining(model.model, async () => (await open()).#run(train));
    // Others may come to have a model that is loaded here: a probe is given it.
    const session = await open();
    return whileTraining(session.model, () => session.#run(train));
  }

  async #run<Result>(train: (session: Session) => Promise<Result>): Promise<Result> {
    try {
      this.#requireTrainable();
      return await train(this);
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  static async #open(options: TrainOptions, fullLearningRate: number): Promise<Session> {
    const { model, lora, observer } = options;
    const setup = setUpRun(options, fullLearningRate);
    if (typeof model !== 'string') return new Session(options, setup, withCurrentSource(model));
    const loaded = await loadModel(model, {
      // Full fine-tuning starts its fp32 masters from the checkpoint's own precision; a frozen base needs none.
      dtype: lora === undefined ? 'float32' : setup.precision.dtype,
      device: setup.device,
      notice: (message) => observer?.({ type: 'note', level: 'info', code: 'model', message }),
    });
    return new Session(options, setup, loaded);
  }

  /** Throws where the options and the model do not go together. */
  #requireTrainable(): void {
    this.requireInputsKept();
    const { source } = this.loaded;
    const linears = linearsOf(this.model);
    if (linears.some(({ adapter }) => adapter !== undefined)) {
      throw new UsageError('adapter-attached', 'The model to train carries LoRA adapters already.', {
        hint: 'Merge them into their base first.',
      });
    }
    if (this.#lora === undefined) return;
    loraTargets(linears, this.#lora);
    if (this.options.output !== undefined && inMemoryOnly(source)) {
      throw new UsageError(
        'base-not-saved',
        `The weights of ${source.spec} are in no file, so a saved adapter could not name the model that it belongs to.`,
        { hint: `${SAVE_FIRST}, or leave out lora or output here.` },
      );
    }
  }

  #abandon(): void {
    this.weights?.release();
    detachLora(this.#adapted);
    if (typeof this.options.model === 'string') this.model.dispose();
  }

  /** Casts the model to the compute dtype: from here until `startTraining` it is the reference model. */
  castForReference(): void {
    const { dtype } = this.precision;
    // Once widened, nothing but this says that the weights are not those of the files.
    if (this.weightsDType !== dtype) leaveFiles(this.model);
    if (this.#lora !== undefined) startTraining(this.model, [], dtype);
    else this.weights = new TrainedWeights(this.model, [...this.model.parameters.values()], dtype);
  }

  /** Attaches adapters if asked for. From here on the model is no longer its reference. */
  startTraining(): void {
    leaveFiles(this.model);
    if (this.#lora === undefined) return;
    const generator = new Generator(this.seed, this.setup.device);
    this.#adapted = attachLora(linearsOf(this.model), { ...this.#lora, generator });
    const parameters = this.#adapted.flatMap(({ adapter }) => [adapter!.a, adapter!.b]);
    this.weights = new TrainedWeights(this.model, parameters, this.precision.dtype);
  }

  /** The reference model for a moment: the policy with its adapters off, or loaded anew and disposed. */
  readonly withReference: WithReference = async (use) => {
    if (this.#lora !== undefined) {
      const adapters = this.#adapted.map(({ adapter }) => adapter);
      for (const linear of this.#adapted) linear.adapter = undefined;
      try {
        return await use(this.model);
      } finally {
        for (const [index, linear] of this.#adapted.entries()) linear.adapter = adapters[index];
      }
    }
    this.requireReference();
    const { source } = this.loaded;
    const reference = await loadPinned(source, { dtype: this.weightsDType, device: this.setup.device });
    try {
      if (reference.source.hash !== source.hash) {
        throw new UsageError(
          'reference-changed',
          `${source.location} is not what it was when training began.`,
          { hint: 'Keep the base model unchanged while training, or set evaluation.klSamples to 0.' },
        );
      }
      startTraining(reference.model, [], this.precision.dtype);
      return await use(reference.model);
    } finally {
      reference.model.dispose();
      releaseFreeMemory();
    }
  };

  /** Throws when the reference model could not be lent again once training changes the policy. */
  requireReference(): void {
    const { source } = this.loaded;
    if (this.#lora !== undefined || !inMemoryOnly(source)) return;
    throw new UsageError(
      'reference-not-saved',
      `The weights of ${source.spec} are in no file, so they cannot be loaded as the reference beside the model that is trained.`,
      { hint: `${SAVE_FIRST}, train with lora, or set evaluation.klSamples to 0.` },
    );
  }

  /** The options of the loop that trains on a task, without its evaluation. */
  loopOptions<Result extends ItemResults>(
    run: RunDirectory | undefined,
    task: Task<Result>,
  ): LoopOptions<Result> {
    const recompute = this.options.recompute === true;
    const pass = languageModelPass(this.model, task, { recompute });
    return {
      ...this.commonLoopOptions(run),
      task,
      rowPass: (step) => {
        requireUnread(this.model);
        return pass(step);
      },
    };
  }

  /** Of an adapter that stays one, what is saved is the adapter. */
  protected override get savedSize(): number {
    return this.#lora !== undefined && !this.#lora.merge ? this.startedWeights().size : super.savedSize;
  }

  /** Says so beforehand when a step will not fit into memory, or what is written on the disk. */
  checkNeeds<Result extends ItemResults>(task: Task<Result>): void {
    this.noteNeeds(this.loaded.config, task, (items) => ({
      rowTokens: task.pack(items).tokens.length,
      headPositions: items.reduce((sum, item) => sum + task.scoredTokens(item), 0),
    }));
  }

  /** Ends training without saving. The model that it returns says that its weights are in memory only. */
  finish(): LoadedModel {
    this.startedWeights().release();
    return settle(this.loaded);
  }

  /**
   * Ends training, and saves the model (with LoRA the adapter) where the run directory wants it. The model that it returns
   * says that it is there; under adapters it is in memory only, because what is saved beside its base is not a whole model.
   *
   * @param learnt `chats`: it was trained on chats, so what is saved stops where their turns end
   */
  async save(
    run: RunDirectory,
    card: ModelCard,
    learnt: { readonly chats?: boolean } = {},
  ): Promise<LoadedModel> {
    const { tokenizer, config, source } = this.loaded;
    const generationConfig =
      learnt.chats === true ? chatGenerationConfig(this.loaded) : this.loaded.generationConfig;
    const weights = this.startedWeights();
    const merge = this.#lora?.merge === true;
    if (this.#lora !== undefined) {
      const { rank, alpha } = this.#lora;
      await saveAdapter(run.file(merge ? 'adapter' : 'model'), this.model, {
        base: source,
        rank,
        alpha,
        card: { ...card, library: 'peft' },
        tokenizer: tokenizer.files,
        values: weights.masters.state(),
      });
    }
    weights.release();
    if (this.#lora !== undefined && !merge) return settle(this.loaded);
    mergeLora(this.#adapted);
    await saveDirectory(run.modelPath, {
      config: config.raw,
      generationConfig,
      tokenizer: tokenizer.files,
      tensors: modelTensors(this.model),
      card,
    });
    // As loading it would say, so that scores of the one are scores of the other.
    const { source: saved, weights: files } = await openModel(run.modelPath);
    files.close();
    return settle({ ...this.loaded, generationConfig }, saved);
  }
}

/** The way out of everything that needs a model's files. */
const SAVE_FIRST =
  'Give output to the training that made this model and go on from what it saved (OUTPUT/model)';

type LoraSettings = ReturnType<typeof loraSettings>;

function loraSettings({
  rank = DEFAULT_LORA_RANK,
  alpha = defaultLoraAlpha(rank),
  targetModules,
  merge = false,
}: LoraTraining) {
  return { rank, alpha, targetModules: targetModules ?? ('all-linear' as const), merge };
}

function isHalf(dtype: DType): dtype is 'bfloat16' | 'float16' {
  return dtype === 'bfloat16' || dtype === 'float16';
}
