import { type Device, engineInfo, type FloatSpelling, floatDType } from '../engine/index.ts';

/** What training computes in, by the names that recipes have for it. */
const RECIPE_NAMES = { float32: 'fp32', bfloat16: 'bf16' } as const;

/** What may be asked for. Recipes write `fp32` and `bf16`; a program may also use the names that tensors have. */
export type TrainingDType = 'auto' | FloatSpelling<ComputePrecision['dtype']>;

export interface ComputePrecision {
  /** What forward and backward compute in. Weights that the optimiser updates are fp32 either way. */
  readonly dtype: keyof typeof RECIPE_NAMES;
  /** Why, as a sentence for people. */
  readonly reason: string;
}

/**
 * bf16 pays only where the hardware multiplies it: on a CPU without such instructions it is emulated, eight times
 * slower than fp32. `auto` looks; an explicit choice is obeyed.
 *
 * @throws UsageError `unknown-dtype` for what training does not compute in
 */
export function resolvePrecision(wanted: TrainingDType, device: Device): ComputePrecision {
  if (wanted !== 'auto') return { dtype: computeDType(wanted), reason: `${wanted} was asked for.` };
  const { bf16Kernels, cpuCapability, cudaBf16 } = engineInfo();
  if (device.startsWith('cuda') && !cudaBf16) {
    return {
      dtype: 'float32',
      reason: `${device} is older than compute capability 8 and has no bf16 instructions.`,
    };
  }
  if (device !== 'cpu') {
    return { dtype: 'bfloat16', reason: `${device} computes bf16, with fp32 master weights.` };
  }
  return bf16Kernels
    ? { dtype: 'bfloat16', reason: 'This CPU multiplies bf16 in hardware; master weights are fp32.' }
    : {
        dtype: 'float32',
        reason: `This CPU (${cpuCapability}) has no bf16 instructions, so fp32 is faster.`,
      };
}

/** How a recipe writes what was asked for, so that one choice is one text whatever its spelling. */
export function recipeDType(wanted: TrainingDType): 'auto' | 'fp32' | 'bf16' {
  return wanted === 'auto' ? wanted : RECIPE_NAMES[computeDType(wanted)];
}

function computeDType(wanted: FloatSpelling<ComputePrecision['dtype']>): ComputePrecision['dtype'] {
  return floatDType(wanted, ['float32', 'bfloat16'], ['auto']);
}
