import { mkdirSync } from 'node:fs';
import { openModel } from '../../checkpoints/index.ts';
import type { LoadPairsOptions } from '../../data/index.ts';
import { type Device, resolveDevice, setThreads } from '../../engine/index.ts';
import { type ModelConfig, readModelConfig } from '../../models/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import {
  countParameters,
  resolvePrecision,
  type TrainingDType,
  type TrainObserver,
} from '../../train/index.ts';
import { estimateStages, type PlannedStage } from './plan.ts';
import type { StageWatch } from './stages.ts';

/** What experiments of several stages take besides their settings. */
export interface PipelineOptions extends StageWatch {
  /** A file or hub data set. */
  readonly data: string;
  /** Where stages, runs and report go. */
  readonly output: string;
  /** `paper` when the paper's statements can be judged by it. */
  readonly scale: 'small' | 'paper';
  readonly reading?: LoadPairsOptions;
  readonly dtype?: TrainingDType;
  readonly device?: Device | 'auto';
  readonly threads?: number;
  readonly referenceCache?: string | false;
  readonly observer?: TrainObserver;
}

/** Such an experiment under way: what all of its stages need. */
export interface Pipeline {
  readonly tokenizer: Tokenizer;
  readonly config: ModelConfig;
  /** For models that sample and score: the type that training computes in, too. */
  readonly placement: { readonly dtype: 'float32' | 'bfloat16'; readonly device: Device };
  /** For every training. */
  readonly training: {
    readonly dtype: TrainingDType;
    readonly device: Device;
    readonly observer?: TrainObserver;
  };
  /** Tells what is to be done and about how long it takes. */
  plan(stages: readonly PlannedStage[]): void;
}

export async function openPipeline(options: PipelineOptions, model: string): Promise<Pipeline> {
  const { output, threads, dtype = 'auto', observer, onPlan } = options;
  if (threads !== undefined) setThreads(threads);
  const device = resolveDevice(options.device);
  const placement = { dtype: resolvePrecision(dtype, device).dtype, device };
  const found = await openModel(model);
  found.weights.close();
  const config = readModelConfig(found.config, found.generationConfig);
  // Not for a device or a model that is not here.
  mkdirSync(output, { recursive: true });
  return {
    tokenizer: found.tokenizer,
    config,
    placement,
    training: { dtype, device, ...(observer && { observer }) },
    plan: (stages) => onPlan?.(estimateStages(stages, countParameters(config), placement)),
  };
}

/** Work of training the upper `layers` of a model, in whole models: the forward pass is a third of it. */
export function trainedShare(
  layers: number | undefined,
  { layers: all }: Pick<ModelConfig, 'layers'>,
): number {
  return (1 + 2 * Math.min(1, (layers ?? all) / all)) / 3;
}
