import { availableMemory, bytesPerElement, type DType, engineInfo, multiplier } from '../engine/index.ts';
import type { Linear } from '../nn/linear.ts';
import type { CausalLM, SequenceClassifier } from './contract.ts';
import { beginReading } from './in-use.ts';
import { linearsOf } from './linears.ts';

/** What will be read with the packed weights. */
export interface PackedWork {
  /** Tokens that pass through in long rows. */
  readonly tokens: number;
  /** Passes of a few rows each, as in decoding. */
  readonly steps?: number;
}

/**
 * From where on packing saves more than it takes. Our own kernels lay weights out at every call anyway, so a second row or
 * a few steps pay for it; oneDNN's reordering takes longer and saves less.
 */
const OWN_WORTH = { tokens: 4096, steps: 4 };
const ONEDNN_WORTH = { tokens: 8192, steps: 48 };

/**
 * Holds the weights of a model that will only be read for a while a second time, in the order in which the CPU's
 * products want them. Does nothing where that brings nothing (other dtypes and devices, too little work) or where the
 * copies would take more than a quarter of the free memory. Whether or not, the model counts as read until this is ended.
 *
 * @returns ends it and frees the copies; call it before the weights change.
 * @throws UsageError `model-in-use` where someone else trains the model.
 */
export function packWeights(model: CausalLM | SequenceClassifier, work: PackedWork): () => void {
  const ends = [beginReading(model)];
  const end = () => {
    for (const each of ends) each();
  };
  try {
    const maps = linearsOf(model);
    if ('head' in model) maps.push(model.head);
    if (isWorthPacking(model, maps, work)) for (const map of maps) ends.push(map.pack());
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

function isWorthPacking(
  { device, dtype }: CausalLM | SequenceClassifier,
  maps: readonly Linear[],
  { tokens, steps = 0 }: PackedWork,
): boolean {
  if (device !== 'cpu' || !packs(dtype)) return false;
  const worth = multiplier(dtype) === 'libtorch' ? ONEDNN_WORTH : OWN_WORTH;
  if (tokens < worth.tokens && steps < worth.steps) return false;
  const elements = maps.reduce((sum, { weight }) => sum + weight.value.size, 0);
  return elements * bytesPerElement[dtype] <= availableMemory() / 4;
}

/** Whether products of this type read packed weights faster; oneDNN's were measured on x64, and with fp32 they do not. */
function packs(dtype: DType): boolean {
  if (multiplier(dtype) !== 'libtorch') return true;
  return dtype === 'bfloat16' && process.arch === 'x64' && engineInfo().bf16Kernels;
}
