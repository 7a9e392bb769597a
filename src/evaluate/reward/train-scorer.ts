import { basename } from 'node:path';
import { type LoadedModel, loadClassifier, modelTensors, saveDirectory } from '../../checkpoints/index.ts';
import { type Device, engineInfo, Generator, resolveDevice, threads } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { linearsOf } from '../../models/linears.ts';
import { mergeLora } from '../../nn/lora.ts';
import type { MasterWeights } from '../../optim/index.ts';
import { RunDirectory, requireFree, runStart } from '../../runs/index.ts';
import { cast, startTraining } from '../../train/compute.ts';
import {
  type LoopResult,
  type LoraTraining,
  resolvePrecision,
  type TrainOptions,
} from '../../train/index.ts';
import { runLoop } from '../../train/loop.ts';
import { DEFAULT_LEARNING_RATES, DEFAULT_LORA_RANK, DEFAULT_PAIRS } from '../../train/options.ts';
import type { PassOptions, RowPass } from '../../train/pass.ts';
import type { ItemResults, LoopTask } from '../../train/task.ts';
import { scorerMemory, trainedParts } from './trained-parts.ts';

const OPTIMIZER = { name: 'adamw' } as const;

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
    | 'learningRate'
    | 'schedule'
    | 'maxGradNorm'
    | 'dtype'
    | 'recompute'
    | 'checkpoint'
    | 'evaluation'
    | 'observer'
    | 'signal'
  > {
  /** A language model, whose score head starts fresh, or a scoring model to go on with. */
  readonly model: string;
  /** Default `auto`: the first CUDA device, else the CPU. */
  readonly device?: Device | 'auto';
  readonly seed?: number;
  /** Train the upper so many layers only, with the final norm and the score: the backward pass ends there. Default: all. */
  readonly trainedLayers?: number;
  /** Train low-rank adapters on the layers and the whole score; they are merged when training ends. */
  readonly lora?: Omit<LoraTraining, 'merge'>;
  /** Goes into recipe.yaml. Default: these options. */
  readonly recipe?: unknown;
}

export interface ScorerResult extends LoopResult {
  readonly model: LoadedModel<SequenceClassifier>;
}

/** What a kind of scoring model learns, once its data are read. */
export interface Scoring {
  readonly task: LoopTask<ItemResults> & {
    rowPass(options: Pick<PassOptions, 'recompute'>): RowPass<ItemResults>;
  };
  /** Metrics on held-out items. */
  readonly evaluate?: () => Promise<Record<string, number>>;
  /** For provenance.json. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** For the model card. */
  readonly objective: string;
  /** What the one score means. */
  readonly label: string;
  /** Name of the metric that is the held-out accuracy. */
  readonly accuracy: string;
}

/** What reading data needs to know of the training. */
export interface ScorerSession {
  readonly loaded: LoadedModel<SequenceClassifier>;
  readonly started: Date;
  emit(event: Parameters<NonNullable<TrainOptions['observer']>>[0]): void;
  phase(phase: 'tokenize'): void;
}

/** Trains a sequence classifier with one label by the loop of preference tuning, and saves it. */
export async function trainScorer(
  options: ScorerOptions,
  prepare: (loaded: LoadedModel<SequenceClassifier>, session: ScorerSession) => Promise<Scoring>,
): Promise<ScorerResult> {
  const { observer, output, seed = 0, evaluation = {}, recompute } = options;
  const emit: NonNullable<typeof observer> = (event) => observer?.(event);
  const warn = (code: string, message: string) => emit({ type: 'note', level: 'warning', code, message });
  if (output !== undefined) requireFree(output, { ...options, notice: warn });
  emit({ type: 'phase', phase: 'load' });
  const device = resolveDevice(options.device);
  const precision = resolvePrecision(options.dtype ?? 'auto', device);
  const generator = new Generator(seed, device);
  const loaded = await loadClassifier(options.model, {
    // Full training starts its fp32 masters from the checkpoint's own precision; a frozen base needs none.
    dtype: options.lora === undefined ? 'float32' : precision.dtype,
    device,
    labels: 1,
    scoreGenerator: generator,
    notice: (message) => emit({ type: 'note', level: 'info', code: 'model', message }),
  });
  const { model } = loaded;
  let masters: MasterWeights | undefined;
  let run: RunDirectory | undefined;
  try {
    // A language model that comes as an adapter is its base with the adapter.
    mergeLora(linearsOf(model));
    const started = runStart(output, options);
    const session = { loaded, started, emit, phase: (phase: 'tokenize') => emit({ type: 'phase', phase }) };
    const scoring = await prepare(loaded, session);
    const { task, evaluate, facts } = scoring;
    run =
      output === undefined
        ? undefined
        : openRun(
            output,
            options,
            { started: started.toISOString(), device, precision, seed, model: loaded.source, data: facts },
            warn,
          );
    const { parameters, adapted } = trainedParts(model, options, generator);
    masters = startTraining(model, parameters, precision.dtype);
    const { batch = { pairs: DEFAULT_PAIRS } } = options;
    const plan = {
      seed,
      ...(options.steps !== undefined && { steps: options.steps }),
      ...(options.epochs !== undefined && { epochs: options.epochs }),
    };
    const layers = recompute === true ? 'layers' : 'none';
    if (device === 'cpu') {
      const memory = { dtype: precision.dtype, optimizer: OPTIMIZER, recompute: layers } as const;
      emit({ type: 'note', ...scorerMemory(loaded.config, task, parameters, { ...plan, ...batch }, memory) });
    }
    emit({ type: 'phase', phase: 'train' });
    const result = await runLoop({
      parameters,
      masters,
      task,
      rowPass: task.rowPass({ recompute: layers }),
      optimizer: OPTIMIZER,
      learningRate: options.learningRate ?? (options.lora === undefined ? 1e-5 : DEFAULT_LEARNING_RATES.lora),
      ...plan,
      batch,
      ...(options.schedule && { schedule: options.schedule }),
      ...(options.maxGradNorm !== undefined && { maxGradNorm: options.maxGradNorm }),
      ...(options.checkpoint?.every !== undefined && { checkpointEvery: options.checkpoint.every }),
      ...(evaluate && { evaluation: { every: evaluation.every ?? 0, evaluate } }),
      ...(run && { run }),
      ...(observer && { observer }),
      ...(options.signal && { signal: options.signal }),
    });
    masters.release();
    masters = undefined;
    for (const parameter of parameters) cast(parameter, precision.dtype);
    mergeLora(adapted);
    if (run !== undefined && result.status === 'finished') {
      emit({ type: 'phase', phase: 'save' });
      await saveScorer(run, loaded, result, facts, scoring, {
        seed,
        precision: precision.dtype,
        ...(options.lora && { 'LoRA rank': options.lora.rank ?? DEFAULT_LORA_RANK }),
      });
    }
    return { ...result, model: loaded };
  } catch (error) {
    masters?.release();
    model.dispose();
    throw error;
  } finally {
    run?.close();
  }
}

/** The options as they go into recipe.yaml: what can be written down, without data. */
function describeOptions(options: ScorerOptions): unknown {
  const callbacks = ['observer', 'signal', 'resume', 'overwrite', 'reading', 'data', 'evalData'];
  return Object.fromEntries(Object.entries(options).filter(([name]) => !callbacks.includes(name)));
}

function openRun(
  path: string,
  options: ScorerOptions,
  known: Readonly<Record<'started' | 'device' | 'precision' | 'seed' | 'model' | 'data', unknown>>,
  notice: (code: string, message: string) => void,
): RunDirectory {
  const { torchVersion, cpuCapability } = engineInfo();
  const { resume, overwrite, recipe } = options;
  return RunDirectory.open(path, {
    recipe: recipe ?? describeOptions(options),
    provenance: {
      command: process.argv.slice(1),
      node: process.version,
      torch: torchVersion,
      cpu: cpuCapability,
      threads: threads(),
      ...known,
    },
    ...(resume !== undefined && { resume }),
    ...(overwrite !== undefined && { overwrite }),
    ...(options.checkpoint?.keep !== undefined && { keepCheckpoints: options.checkpoint.keep }),
    notice,
  });
}

async function saveScorer(
  run: RunDirectory,
  { model, tokenizer, config, source }: LoadedModel<SequenceClassifier>,
  result: LoopResult,
  facts: Readonly<Record<string, unknown>>,
  { objective, label, accuracy: accuracyName }: Scoring,
  settings: Readonly<Record<string, number | string>>,
): Promise<void> {
  const accuracy = result.metrics.at(-1)?.[`eval_${accuracyName}`];
  const { source: data } = facts.train as { source: string };
  await saveDirectory(run.modelPath, {
    config: classifierConfig(config.raw, label, paddingOf(config)),
    tokenizer: tokenizer.files,
    tensors: modelTensors(model),
    card: {
      name: basename(run.path),
      objective,
      datasets: [data],
      pipeline: 'text-classification',
      settings: { steps: result.step, ...settings },
      ...(source.baseModel !== undefined && { baseModel: source.baseModel }),
      ...(source.license !== undefined && { license: source.license }),
      ...(typeof accuracy === 'number' && { metrics: { 'held-out accuracy': Number(accuracy.toFixed(4)) } }),
    },
  });
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
