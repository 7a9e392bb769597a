import type { DType } from '../engine/index.ts';
import { availableMemory, bytesPerElement } from '../engine/index.ts';
import type { ModelConfig } from '../models/contract.ts';
import type { OptimizerOptions } from '../optim/index.ts';
import { formatBytes } from '../units.ts';
import { DEFAULT_CHUNK_BYTES, DEFAULT_KEEP_BYTES } from './head.ts';

export interface MemoryOptions {
  readonly dtype: DType;
  readonly optimizer: OptimizerOptions;
  /** Tokens of the longest packed row. */
  readonly rowTokens: number;
  /** Of these, positions that predict completion tokens. */
  readonly headPositions: number;
  /** Whether layers are computed again in the backward pass. Default false. */
  readonly recompute?: boolean;
  /** Passes whose gradients are summed, in fp32 when there are several. Default 1. */
  readonly passes?: number;
  /** Weights that are trained. Default: all. */
  readonly trainedParameters?: number;
  readonly chunkBytes?: number;
  readonly keepBytes?: number;
}

/** Bytes at the peak of a training step, by what they are for. */
export interface MemoryEstimate {
  /** Weights to compute with, and fp32 masters where they differ. */
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** What the backward pass needs of the forward pass. */
  readonly activations: number;
  /** Logits over the vocabulary. */
  readonly head: number;
  /** Node and the engine themselves. */
  readonly program: number;
  readonly total: number;
}

const PROGRAM_BYTES = 350 * 2 ** 20;

/** Parameters of a model of this configuration: exact but for a few biases and norms. */
export function countParameters(config: ModelConfig): number {
  const { vocabularySize, width, layers, tiedEmbeddings, learnedPositions, maxPositions } = config;
  const embeddings =
    vocabularySize * width * (tiedEmbeddings ? 1 : 2) + (learnedPositions ? maxPositions * width : 0);
  const attention = width * config.headWidth * (2 * config.heads + 2 * config.kvHeads);
  return (
    embeddings +
    layers * (attention + feedForwardMaps(config) * width * config.intermediateWidth + 2 * width) +
    width
  );
}

/**
 * What a training step takes at its peak, before it is run. An estimate: measured peaks lie within about 15 % of it for
 * the models of the test suite.
 */
export function estimateMemory(config: ModelConfig, options: MemoryOptions): MemoryEstimate {
  const { dtype, optimizer, rowTokens, headPositions, recompute = false } = options;
  const { chunkBytes = DEFAULT_CHUNK_BYTES, keepBytes = DEFAULT_KEEP_BYTES } = options;
  const width = bytesPerElement[dtype];
  const parameters = countParameters(config);
  const trained = options.trainedParameters ?? parameters;
  const adapters = trained < parameters ? trained : 0;
  const isMasterSeparate = width < 4;
  const weights = (parameters + adapters) * width + (isMasterSeparate ? 4 * trained : 0);
  const layer = layerActivations(config);
  const kept = recompute ? config.layers * config.width + layer : config.layers * layer;
  const logits = width * headPositions * config.vocabularySize;
  // A tied embedding's gradient is a sum even in a single pass.
  const summed =
    (options.passes ?? 1) > 1 ? trained : Math.min(trained, config.vocabularySize * config.width);
  const parts = {
    weights,
    gradients: 4 * summed + width * (trained - summed),
    optimizer: 4 * trained * slotCount(optimizer),
    activations: rowTokens * kept * width,
    head: Math.min(logits, keepBytes) + 2 * Math.min(logits, chunkBytes),
    program: PROGRAM_BYTES,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/** The estimate in words, beside what is free; a warning with advice where that is too little. */
export function memoryNote(estimate: MemoryEstimate): {
  readonly level: 'info' | 'warning';
  readonly code: string;
  readonly message: string;
} {
  const parts = (['weights', 'gradients', 'optimizer', 'activations', 'head'] as const)
    .filter((name) => estimate[name] > 0)
    .map((name) => `${name} ${formatBytes(estimate[name])}`)
    .join(', ');
  const available = availableMemory() + process.memoryUsage.rss();
  const message = `A step takes about ${formatBytes(estimate.total)} at its peak (${parts}); ${formatBytes(available)} are free.`;
  if (estimate.total <= available) return { level: 'info', code: 'memory', message };
  const advice = 'Use recompute, fewer pairs a batch with accumulate, a shorter max_length, or LoRA.';
  return { level: 'warning', code: 'memory-short', message: `${message} ${advice}` };
}

/** Gate, up and down, or the two maps of the older families. */
function feedForwardMaps({ family }: ModelConfig): number {
  return family === 'llama' ? 3 : 2;
}

/** Elements that autograd keeps of one layer for each token. */
function layerActivations(config: ModelConfig): number {
  const { width, heads, kvHeads, headWidth, intermediateWidth, family } = config;
  const query = heads * headWidth;
  const keyValue = 2 * kvHeads * headWidth;
  // Both norms' inputs and outputs; q, k, v as the kernel reads them; the attention's output; the feed-forward's parts.
  const feedForward = (family === 'llama' ? 3 : 2) * intermediateWidth;
  return 4 * width + query + keyValue + query + feedForward;
}

/** Numbers that an optimiser keeps of each weight. */
export function slotCount(optimizer: OptimizerOptions): number {
  switch (optimizer.name) {
    case 'adamw':
      return 2;
    case 'rmsprop':
      return 1 + (optimizer.centered === true ? 1 : 0) + ((optimizer.momentum ?? 0) > 0 ? 1 : 0);
    case 'sgd':
      return (optimizer.momentum ?? 0) > 0 ? 1 : 0;
    default:
      return optimizer satisfies never;
  }
}
