import { basename } from 'node:path';
import { type LoadedModel, loadClassifier, modelTensors, saveDirectory } from '../../checkpoints/index.ts';
import { type Device, devices, engineInfo, Generator, threads } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import { RunDirectory } from '../../runs/index.ts';
import { bootstrap } from '../../stats/index.ts';
import { cast, startTraining } from '../../train/compute.ts';
import { type LoopResult, resolvePrecision, runLoop, type TrainOptions } from '../../train/index.ts';
import { type PairSources, readSplits } from '../../train/preference-data.ts';
import { packByLength } from '../../train/reference.ts';
import { type RewardResults, RewardTask, rewardWin } from './reward-task.ts';

/** Options of a reward model's training, with the meanings that they have for preference tuning. */
export interface RewardOptions
  extends PairSources,
    Pick<
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
      | 'observer'
      | 'signal'
    > {
  /** A language model, whose score head starts fresh, or a reward model to go on with. */
  readonly model: string;
  readonly device?: Device;
  readonly seed?: number;
  /** Weight of (r_w + r_l)², which keeps rewards about zero. Default 0.01. */
  readonly centering?: number;
  /** Goes into recipe.yaml. Default: these options. */
  readonly recipe?: unknown;
}

export interface RewardResult extends LoopResult {
  readonly model: LoadedModel<SequenceClassifier>;
}

/**
 * Trains a Bradley–Terry reward model on preference pairs: a sequence classifier with one label, saved as a directory
 * that transformers' AutoModelForSequenceClassification loads. The same loop as preference tuning, so it checkpoints,
 * resumes and logs the same way.
 */
export async function trainReward(options: RewardOptions): Promise<RewardResult> {
  const { observer, output, seed = 0, centering = 0.01, evaluation = {}, recompute } = options;
  const emit: NonNullable<typeof observer> = (event) => observer?.(event);
  emit({ type: 'phase', phase: 'load' });
  const device = options.device ?? devices().find((each) => each.startsWith('cuda')) ?? 'cpu';
  const precision = resolvePrecision(options.dtype ?? 'auto', device);
  const loaded = await loadClassifier(options.model, {
    dtype: 'float32',
    device,
    labels: 1,
    scoreGenerator: new Generator(seed, device),
    notice: (message) => emit({ type: 'note', level: 'info', code: 'model', message }),
  });
  const { model } = loaded;
  const session = { loaded, seed, emit, phase: (phase: 'tokenize') => emit({ type: 'phase', phase }) };
  const { train, heldOut, facts } = await readSplits(options, session as Parameters<typeof readSplits>[1]);
  const run = output === undefined ? undefined : openRun(output, options, loaded, precision, facts);
  try {
    const parameters = [...model.parameters.values()];
    const masters = startTraining(model, parameters, precision.dtype);
    const task = new RewardTask(model, train.tokens, centering);
    const heldOutTask = new RewardTask(model, heldOut.tokens, centering);
    emit({ type: 'phase', phase: 'train' });
    const result = await runLoop({
      parameters,
      masters,
      task,
      rowPass: task.rowPass({ recompute: recompute === true ? 'layers' : 'none' }),
      optimizer: { name: 'adamw' },
      learningRate: options.learningRate ?? 1e-5,
      seed,
      batch: options.batch ?? { pairs: 8 },
      ...(options.steps !== undefined && { steps: options.steps }),
      ...(options.epochs !== undefined && { epochs: options.epochs }),
      ...(options.schedule && { schedule: options.schedule }),
      ...(options.maxGradNorm !== undefined && { maxGradNorm: options.maxGradNorm }),
      ...(options.checkpoint?.every !== undefined && { checkpointEvery: options.checkpoint.every }),
      ...(heldOutTask.items > 0 && {
        evaluation: {
          every: evaluation.every ?? 0,
          evaluate: async () => evaluateReward(heldOutTask),
        },
      }),
      ...(run && { run }),
      ...(observer && { observer }),
      ...(options.signal && { signal: options.signal }),
    });
    masters.release();
    for (const parameter of parameters) cast(parameter, precision.dtype);
    if (run !== undefined && result.status === 'finished') {
      emit({ type: 'phase', phase: 'save' });
      await saveRewardModel(run, loaded, result, facts, { seed, precision: precision.dtype });
    }
    return { ...result, model: loaded };
  } finally {
    run?.close();
  }
}

/** Held-out loss, accuracy with its 95 % interval, and margins. */
export async function evaluateReward(task: RewardTask): Promise<Record<string, number>> {
  const lengths = Array.from({ length: task.items }, (_, item) => task.tokens(item));
  const results: RewardResults[] = [];
  for (const items of packByLength(lengths, 2048)) {
    results.push(task.evaluate(items));
    await new Promise(setImmediate);
  }
  const wins = results.flatMap((result) => result.items.map((_, i) => rewardWin(result, i)));
  const metrics = task.metrics(results);
  if (wins.length < 2) return metrics;
  const { low, high } = bootstrap(wins, { resamples: 2000 });
  return { ...metrics, 'rewards/accuracies/low': low, 'rewards/accuracies/high': high };
}

function openRun(
  path: string,
  options: RewardOptions,
  loaded: LoadedModel<SequenceClassifier>,
  precision: ReturnType<typeof resolvePrecision>,
  data: unknown,
): RunDirectory {
  const { torchVersion, cpuCapability } = engineInfo();
  const {
    observer: _o,
    signal: _s,
    resume,
    overwrite,
    recipe,
    reading: _r,
    data: _d,
    evalData: _e,
    ...rest
  } = options;
  return RunDirectory.open(path, {
    recipe: recipe ?? rest,
    provenance: {
      started: new Date().toISOString(),
      command: process.argv.slice(1),
      node: process.version,
      torch: torchVersion,
      cpu: cpuCapability,
      threads: threads(),
      precision,
      model: loaded.source,
      data,
    },
    ...(resume !== undefined && { resume }),
    ...(overwrite !== undefined && { overwrite }),
    ...(options.checkpoint?.keep !== undefined && { keepCheckpoints: options.checkpoint.keep }),
  });
}

async function saveRewardModel(
  run: RunDirectory,
  { model, tokenizer, config, source }: LoadedModel<SequenceClassifier>,
  result: LoopResult,
  facts: Readonly<Record<string, unknown>>,
  settings: { readonly seed: number; readonly precision: string },
): Promise<void> {
  const accuracy = result.metrics.at(-1)?.['eval_rewards/accuracies'];
  const { source: data } = facts.train as { source: string };
  await saveDirectory(run.modelPath, {
    config: classifierConfig(config.raw, paddingOf(config)),
    tokenizer: tokenizer.files,
    tensors: modelTensors(model),
    card: {
      name: basename(run.path),
      objective: 'bradley-terry',
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
  padTokenId: number | undefined,
): Record<string, unknown> {
  const architectures = Array.isArray(raw.architectures) ? raw.architectures : [];
  return {
    ...raw,
    architectures: architectures.map((name) =>
      String(name).replace(/(ForCausalLM|LMHeadModel)$/, 'ForSequenceClassification'),
    ),
    num_labels: 1,
    id2label: { 0: 'reward' },
    label2id: { reward: 0 },
    ...(padTokenId !== undefined && { pad_token_id: padTokenId }),
  };
}
