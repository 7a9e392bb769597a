import { basename, join, resolve } from 'node:path';
import {
  type LoadedModel,
  loadModel,
  type ModelCard,
  modelTensors,
  openModel,
  saveAdapter,
  saveDirectory,
} from '../checkpoints/index.ts';
import {
  type Device,
  type DType,
  engineInfo,
  Generator,
  releaseFreeMemory,
  resolveDevice,
  threads,
} from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { chatGenerationConfig } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { linearsOf } from '../models/linears.ts';
import type { Linear } from '../nn/linear.ts';
import { attachLora, detachLora, loraTargets, mergeLora } from '../nn/lora.ts';
import type { Parameter } from '../nn/parameter.ts';
import {
  createOptimizer,
  createSchedule,
  type MasterWeights,
  type OptimizerOptions,
} from '../optim/index.ts';
import { RunDirectory, requireFree, runStart } from '../runs/index.ts';
import { cast, startTraining } from './compute.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { inMemoryOnly, leaveFiles, settle, withCurrentSource } from './identity.ts';
import type { WithReference } from './kl.ts';
import { estimateMemory, memoryNote } from './memory.ts';
import {
  DEFAULT_LEARNING_RATES,
  DEFAULT_LORA_RANK,
  defaultLoraAlpha,
  type LoraTraining,
  type TrainOptions,
} from './options.ts';
import { loadPinned } from './pinned.ts';
import { BatchPlan, type PlanOptions } from './plan.ts';
import { type ComputePrecision, resolvePrecision } from './precision.ts';
import type { ItemResults, Task } from './task.ts';

/** What both kinds of training set up and take down: the model, its adapters and masters, the run directory. */
export class Session {
  readonly loaded: LoadedModel;
  readonly precision: ComputePrecision;
  /** What weights were rounded to before they compute in `precision`: coarser for a model that was given in less. */
  readonly weightsDType: DType;
  readonly optimizer: OptimizerOptions;
  /** Peak. */
  readonly learningRate: number;
  readonly seed: number;
  /** When the run began: of one that is resumed, its first session. */
  readonly started: Date;
  readonly #options: TrainOptions;
  readonly #device: Device;
  readonly #lora: LoraSettings | undefined;
  /** Whether the model was loaded here, not given. */
  readonly #loadsModel: boolean;
  #adapted: Linear[] = [];
  #trained: readonly Parameter[] = [];
  #masters: MasterWeights | undefined;

  private constructor(
    options: TrainOptions,
    device: Device,
    precision: ComputePrecision,
    loaded: LoadedModel,
    learningRate: number,
    started: Date,
  ) {
    this.#options = options;
    this.#device = device;
    this.#lora = options.lora && loraSettings(options.lora);
    this.#loadsModel = typeof options.model === 'string';
    this.precision = precision;
    this.loaded = loaded;
    this.weightsDType = isHalf(loaded.model.dtype) ? loaded.model.dtype : precision.dtype;
    this.optimizer = options.optimizer ?? DEFAULT_OPTIMIZER;
    this.learningRate = learningRate;
    this.seed = options.seed ?? 0;
    this.started = started;
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
    const session = await Session.#open(options, fullLearningRate);
    try {
      session.#requireTrainable();
      return await train(session);
    } catch (error) {
      session.#abandon();
      throw error;
    }
  }

  static async #open(options: TrainOptions, fullLearningRate: number): Promise<Session> {
    const { output, lora } = options;
    const emit = (event: TrainEvent) => options.observer?.(event);
    if (output !== undefined) {
      const notice = (code: string, message: string) =>
        emit({ type: 'note', level: 'warning', code, message });
      requireFree(output, { ...options, notice });
    }
    const learningRate =
      options.learningRate ?? (lora === undefined ? fullLearningRate : DEFAULT_LEARNING_RATES.lora);
    BatchPlan.check(planOptions(options));
    createSchedule(learningRate, 1, options.schedule);
    createOptimizer([], options.optimizer ?? DEFAULT_OPTIMIZER).dispose();
    emit({ type: 'phase', phase: 'load' });
    const given = typeof options.model === 'string' ? undefined : withCurrentSource(options.model);
    const device = given === undefined ? resolveDevice(options.device) : deviceOf(given, options.device);
    const precision = resolvePrecision(options.dtype ?? 'auto', device);
    emit({
      type: 'note',
      level: 'info',
      code: 'precision',
      message: `Computing in ${precision.dtype} on ${device}. ${precision.reason}`,
    });
    const started = runStart(output, options);
    // Full fine-tuning starts its fp32 masters from the checkpoint's own precision; a frozen base needs none.
    const dtype = lora === undefined ? 'float32' : precision.dtype;
    const notice = (message: string) => emit({ type: 'note', level: 'info', code: 'model', message });
    const loaded = given ?? (await loadModel(options.model as string, { dtype, device, notice }));
    return new Session(options, device, precision, loaded, learningRate, started);
  }

  /** Throws where the options and the model do not go together. */
  #requireTrainable(): void {
    const { source } = this.loaded;
    const linears = linearsOf(this.model);
    if (linears.some(({ adapter }) => adapter !== undefined)) {
      throw new UsageError('adapter-attached', 'The model to train carries LoRA adapters already.', {
        hint: 'Merge them first: mallows export --model ADAPTER --to DIRECTORY.',
      });
    }
    if (this.#lora === undefined) return;
    loraTargets(linears, this.#lora);
    if (this.#options.output !== undefined && inMemoryOnly(source)) {
      throw new UsageError(
        'base-not-saved',
        `The weights of ${source.spec} are in no file, so a saved adapter could not name the model that it belongs to.`,
        { hint: `${SAVE_FIRST}, or leave out lora or output here.` },
      );
    }
  }

  #abandon(): void {
    this.#release();
    detachLora(this.#adapted);
    if (this.#loadsModel) this.model.dispose();
  }

  get model(): CausalLM {
    return this.loaded.model;
  }

  emit(event: TrainEvent): void {
    this.#options.observer?.(event);
  }

  phase(phase: TrainPhase): void {
    this.emit({ type: 'phase', phase });
  }

  note(level: 'info' | 'warning', code: string, message: string): void {
    this.emit({ type: 'note', level, code, message });
  }

  openRun(data: Readonly<Record<string, unknown>>): RunDirectory | undefined {
    const { output, resume, overwrite, checkpoint, recipe } = this.#options;
    if (output === undefined) {
      if (resume === true) {
        throw new UsageError('resume-without-output', 'resume needs the run directory to go on with.', {
          hint: 'Give output.',
        });
      }
      return undefined;
    }
    const { torchVersion, cpuCapability } = engineInfo();
    return RunDirectory.open(output, {
      recipe: recipe ?? describeOptions(this.#options, this.loaded),
      provenance: {
        started: this.started.toISOString(),
        command: process.argv.slice(1),
        node: process.version,
        torch: torchVersion,
        device: this.#device,
        cpu: cpuCapability,
        threads: threads(),
        precision: this.precision,
        seed: this.seed,
        model: this.loaded.source,
        data,
      },
      ...(resume !== undefined && { resume }),
      ...(overwrite !== undefined && { overwrite }),
      ...(checkpoint?.keep !== undefined && { keepCheckpoints: checkpoint.keep }),
      notice: (code, message) => this.note('warning', code, message),
    });
  }

  /** Casts the model to the compute dtype: from here until `startTraining` it is the reference model. */
  castForReference(): void {
    // Once widened, nothing but this says that the weights are not those of the files.
    if (this.weightsDType !== this.precision.dtype) leaveFiles(this.model);
    this.#trained = [...this.model.parameters.values()];
    this.#masters = startTraining(
      this.model,
      this.#lora === undefined ? this.#trained : [],
      this.precision.dtype,
    );
  }

  /** Attaches adapters if asked for, and returns what is trained with its masters. */
  startTraining(): { parameters: readonly Parameter[]; masters: MasterWeights } {
    leaveFiles(this.model);
    if (this.#lora !== undefined) {
      const generator = new Generator(this.seed, this.#device);
      this.#adapted = attachLora(linearsOf(this.model), { ...this.#lora, generator });
      this.#trained = this.#adapted.flatMap(({ adapter }) => [adapter!.a, adapter!.b]);
      this.#masters = startTraining(this.model, this.#trained, this.precision.dtype);
    }
    return { parameters: this.#trained, masters: this.#masters! };
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
    const reference = await loadPinned(source, { dtype: this.weightsDType, device: this.#device });
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

  /** The part of the loop's options that both kinds of training share. */
  loopOptions(run: RunDirectory | undefined) {
    const { schedule, maxGradNorm, checkpoint, observer, signal, recompute } = this.#options;
    return {
      model: this.model,
      optimizer: this.optimizer,
      learningRate: this.learningRate,
      pass: { recompute: recompute === true ? 'layers' : 'none' } as const,
      ...loopPlan(this.#options),
      ...(schedule && { schedule }),
      ...(maxGradNorm !== undefined && { maxGradNorm }),
      ...(checkpoint?.every !== undefined && { checkpointEvery: checkpoint.every }),
      ...(run && { run }),
      ...(observer && { observer }),
      ...(signal && { signal }),
    };
  }

  /** A model card with what this session knows. */
  card(facts: Omit<ModelCard, 'name' | 'baseModel' | 'license'>): ModelCard {
    const { baseModel, license, revision } = this.loaded.source;
    const { output = 'model' } = this.#options;
    return {
      name: basename(resolve(output)),
      baseModel,
      ...(revision !== undefined && { baseRevision: revision }),
      ...(license !== undefined && { license }),
      ...facts,
      settings: {
        ...facts.settings,
        optimizer: this.optimizer.name,
        'learning rate': this.learningRate,
        precision: this.precision.dtype,
        seed: this.seed,
      },
    };
  }

  /** Says so beforehand when a step will not fit into memory. */
  checkMemory<Result extends ItemResults>(task: Task<Result>): void {
    if (this.#device !== 'cpu') return;
    const plan = planOptions(this.#options);
    const { rowTokens, headPositions } = largestRow(task, plan);
    const trainedParameters = this.#trained.reduce((sum, { value }) => sum + value.size, 0);
    const estimate = estimateMemory(this.loaded.config, {
      dtype: this.precision.dtype,
      optimizer: this.optimizer,
      rowTokens,
      headPositions,
      trainedParameters,
      passes: plan.accumulate ?? 1,
      recompute: this.#options.recompute === true ? 'layers' : 'none',
    });
    const { level, code, message } = memoryNote(estimate);
    this.note(level, code, message);
  }

  /** Ends training without saving. The model that it returns says that its weights are in memory only. */
  finish(): LoadedModel {
    this.#release();
    return settle(this.loaded);
  }

  /** The model holds the trained values in the compute dtype, which is what was evaluated. */
  #release(): void {
    if (this.#masters === undefined) return;
    this.#masters.release();
    this.#masters = undefined;
    for (const parameter of this.#trained) cast(parameter, this.precision.dtype);
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
    const merge = this.#lora?.merge === true;
    if (this.#lora !== undefined) {
      const { rank, alpha } = this.#lora;
      await saveAdapter(merge ? join(run.path, 'adapter') : run.modelPath, this.model, {
        base: source,
        rank,
        alpha,
        card: { ...card, library: 'peft' },
        tokenizer: tokenizer.files,
        values: this.#masters!.state(),
      });
    }
    this.#release();
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
    const { source: saved, weights } = await openModel(run.modelPath);
    weights.close();
    return settle({ ...this.loaded, generationConfig }, saved);
  }
}

/** The way out of everything that needs a model's files. */
const SAVE_FIRST =
  'Give output to the training that made this model and go on from what it saved (OUTPUT/model)';

const DEFAULT_OPTIMIZER: OptimizerOptions = { name: 'adamw' };

type LoraSettings = ReturnType<typeof loraSettings>;

function loraSettings({
  rank = DEFAULT_LORA_RANK,
  alpha = defaultLoraAlpha(rank),
  targetModules,
  merge = false,
}: LoraTraining) {
  return { rank, alpha, targetModules: targetModules ?? ('all-linear' as const), merge };
}

function loopPlan({ batch = {}, seed = 0, steps, epochs, shuffle }: TrainOptions) {
  return { batch, seed, ...defined<Omit<PlanOptions, 'seed'>>({ steps, epochs, shuffle }) };
}

function planOptions(options: TrainOptions): PlanOptions {
  const { batch, ...plan } = loopPlan(options);
  return { ...batch, ...plan };
}

/** A model in memory is trained where it is: another place that was asked for is an error. */
function deviceOf({ model }: LoadedModel, wanted: TrainOptions['device'] = 'auto'): Device {
  const exact = (device: Device) => (device === 'cuda' ? 'cuda:0' : device);
  if (wanted === 'auto' || exact(wanted) === exact(model.device)) return model.device;
  throw new UsageError(
    'device-differs',
    `The model to train is on ${model.device}; ${wanted} was asked for, and it is not moved.`,
    { hint: `Load it there (loadModel(…, { device: '${wanted}' })), or leave device out.` },
  );
}

function isHalf(dtype: DType): boolean {
  return dtype === 'bfloat16' || dtype === 'float16';
}

function largestRow<Result extends ItemResults>(
  task: Task<Result>,
  options: PlanOptions,
): { rowTokens: number; headPositions: number } {
  const plan = BatchPlan.of(task, options);
  let rowTokens = 0;
  let headPositions = 0;
  for (let step = 0; step < Math.min(plan.totalSteps, 1000); step++) {
    for (const items of plan.step(step).passes) {
      rowTokens = Math.max(rowTokens, task.pack(items).tokens.length);
      headPositions = Math.max(
        headPositions,
        items.reduce((sum, item) => sum + task.scoredTokens(item), 0),
      );
    }
  }
  return { rowTokens, headPositions };
}

/** The options as they go into recipe.yaml: what can be written down, without callbacks and data. */
function describeOptions(options: TrainOptions, { source }: LoadedModel): Record<string, unknown> {
  const { model, observer: _o, signal: _s, resume: _r, overwrite: _w, recipe: _p, ...rest } = options;
  const plain = Object.entries(rest).filter(([name]) => name !== 'data' && name !== 'evalData');
  const named = {
    model: typeof model === 'string' ? model : source.spec,
    ...Object.fromEntries(plain),
  };
  return JSON.parse(JSON.stringify(named)) as Record<string, unknown>;
}
