import { basename, resolve } from 'node:path';
import type { LoadedModel, ModelCard, ModelProvenance } from '../checkpoints/index.ts';
import { engineInfo, threads } from '../engine/index.ts';
import type { ModelConfig, Trunk } from '../models/contract.ts';
import { type Provenance, RunDirectory, type RunDirectoryOptions } from '../runs/index.ts';
import { allParameters } from './compute.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { diskWarning, estimateDisk } from './disk.ts';
import { requireInputsKept } from './inputs.ts';
import type { LoopOptions } from './loop.ts';
import { estimateMemory, memoryNote } from './memory.ts';
import { checkpointMinutes, type TrainOptions } from './options.ts';
import { BatchPlan, type PassSize } from './plan.ts';
import { type ComputePrecision, recipeDType } from './precision.ts';
import { planOptions, type RunSetup } from './run-setup.ts';
import type { LoopTask } from './task.ts';
import type { TrainedWeights } from './trained-weights.ts';

/** What every kind of training does alike around the loop, whatever the model's head: events, run directory, model card. */
export abstract class TrainingSession<Model extends Trunk> {
  readonly loaded: LoadedModel<Model>;
  readonly seed: number;
  /** When the run began: of one that is resumed, its first session. */
  readonly started: Date;
  readonly precision: ComputePrecision;
  protected readonly options: TrainOptions;
  protected readonly setup: RunSetup;
  /** From the moment on that training starts. */
  protected weights: TrainedWeights | undefined;
  #run: RunDirectory | undefined;

  constructor(options: TrainOptions, setup: RunSetup, loaded: LoadedModel<Model>) {
    this.options = options;
    this.setup = setup;
    this.loaded = loaded;
    this.seed = setup.seed;
    this.started = setup.started;
    this.precision = setup.precision;
  }

  get model(): Model {
    return this.loaded.model;
  }

  emit(event: TrainEvent): void {
    this.options.observer?.(event);
  }

  phase(phase: TrainPhase): void {
    this.emit({ type: 'phase', phase });
  }

  note(level: 'info' | 'warning', code: string, message: string): void {
    this.emit({ type: 'note', level, code, message });
  }

  /** Refuses a run directory that would take away what the run is made from. */
  requireInputsKept(): void {
    requireInputsKept(this.options, this.loaded.source);
  }

  /** Creates the run directory or opens it to resume, where the options name one. */
  openRun(data: NonNullable<Provenance['data']>): RunDirectory | undefined {
    const { output, resume, overwrite, checkpoint, recipe } = this.options;
    if (output === undefined) return undefined;
    const { torchVersion, cpuCapability } = engineInfo();
    const { source } = this.loaded;
    this.#run = RunDirectory.open(output, {
      recipe: recipe ?? describeOptions(this.options, source),
      provenance: {
        started: this.started.toISOString(),
        command: process.argv.slice(1),
        node: process.version,
        torch: torchVersion,
        device: this.setup.device,
        cpu: cpuCapability,
        threads: threads(),
        precision: this.precision,
        seed: this.seed,
        model: source,
        data,
      },
      notice: (code, message) => this.note('warning', code, message),
      ...defined<Pick<RunDirectoryOptions, 'resume' | 'overwrite' | 'keepCheckpoints'>>({
        resume,
        overwrite,
        keepCheckpoints: checkpoint?.keep,
      }),
    });
    return this.#run;
  }

  /** A model card with what this session knows. */
  card(facts: Omit<ModelCard, 'name' | 'baseModel' | 'license'>): ModelCard {
    const { baseModel, license, revision } = this.loaded.source;
    const { optimizer, learningRate } = this.setup;
    const { output = 'model' } = this.options;
    return {
      name: basename(resolve(output)),
      baseModel,
      ...(revision !== undefined && { baseRevision: revision }),
      ...(license !== undefined && { license }),
      ...facts,
      settings: {
        ...facts.settings,
        optimizer: optimizer.name,
        'learning rate': learningRate,
        precision: this.precision.dtype,
        seed: this.seed,
      },
    };
  }

  /** The options of the loop that do not depend on the task. */
  protected commonLoopOptions(run: RunDirectory | undefined): Omit<LoopOptions<never>, 'task' | 'rowPass'> {
    const { parameters, masters } = this.startedWeights();
    const { batch, steps, epochs, shuffle, schedule, maxGradNorm, checkpoint, observer, signal } =
      this.options;
    return {
      parameters,
      masters,
      optimizer: this.setup.optimizer,
      learningRate: this.setup.learningRate,
      seed: this.seed,
      checkpointMinutes: checkpointMinutes(checkpoint),
      ...defined<Partial<LoopOptions<never>>>({
        batch,
        steps,
        epochs,
        shuffle,
        schedule,
        maxGradNorm,
        checkpointEvery: checkpoint?.every,
        run,
        observer,
        signal,
      }),
    };
  }

  /** How many weights are saved when training ends. */
  protected get savedSize(): number {
    return allParameters(this.model).reduce((sum, { value }) => sum + value.size, 0);
  }

  /** Says beforehand whether what is written fits on the disk. */
  #noteDisk(): void {
    if (this.#run === undefined) return;
    const { path, checkpoints } = this.#run;
    const bytes = estimateDisk({
      optimizer: this.setup.optimizer,
      trainedParameters: this.startedWeights().size,
      savedParameters: this.savedSize,
      dtype: this.precision.dtype,
      checkpoints: checkpoints.keep + 1 - checkpoints.steps().length,
    });
    const message = diskWarning(path, bytes);
    if (message !== undefined) this.note('warning', 'disk-short', message);
  }

  /** Says beforehand what a step takes, and whether it fits into memory; and whether what is written fits on the disk. */
  protected noteNeeds(
    config: ModelConfig,
    task: LoopTask,
    sizeOf: (items: readonly number[]) => PassSize,
  ): void {
    this.#noteDisk();
    if (this.setup.device !== 'cpu') return;
    const plan = planOptions(this.options);
    const estimate = estimateMemory(config, {
      ...BatchPlan.of(task, plan).largestPass(sizeOf),
      dtype: this.precision.dtype,
      optimizer: this.setup.optimizer,
      trainedParameters: this.startedWeights().size,
      passes: plan.accumulate ?? 1,
      recompute: this.options.recompute === true,
    });
    const { level, code, message } = memoryNote(estimate);
    this.note(level, code, message);
  }

  protected startedWeights(): TrainedWeights {
    if (this.weights === undefined) throw new Error('internal: startTraining was not called');
    return this.weights;
  }
}

/** What of the options is no part of what is computed, or cannot be written down. */
const NOT_DESCRIBED = new Set([
  'model',
  'data',
  'evalData',
  'observer',
  'signal',
  'resume',
  'overwrite',
  'recipe',
]);

/** The options as they go into recipe.yaml where no recipe was given, under the library's names. */
function describeOptions(options: TrainOptions, { spec }: ModelProvenance): Record<string, unknown> {
  const plain = Object.entries(options).filter(([name]) => !NOT_DESCRIBED.has(name));
  const model = typeof options.model === 'string' ? options.model : spec;
  const dtype = options.dtype && { dtype: recipeDType(options.dtype) };
  return JSON.parse(JSON.stringify({ model, ...Object.fromEntries(plain), ...dtype })) as Record<
    string,
    unknown
  >;
}
