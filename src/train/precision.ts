import { type Device, type DType, engineInfo } from '../engine/index.ts';

/** What a recipe may ask for. */
export type TrainingDType = 'auto' | 'fp32' | 'bf16';

export interface ComputePrecision {
  /** What forward and backward compute in. Weights that the optimiser updates are fp32 either way. */
  readonly dtype: Extract<DType, 'float32' | 'bfloat16'>;
  /** Why, as a sentence for people. */
  readonly reason: string;
}

/**
 * bf16 pays only where the hardware multiplies it: on a CPU without such instructions it is emulated, eight times
 * slower than fp32. `auto` looks; an explicit choice is obeyed.
 */
export function resolvePrecision(wanted: TrainingDType, device: Device): ComputePrecision {
  if (wanted !== 'auto') {
    return { dtype: wanted === 'bf16' ? 'bfloat16' : 'float32', reason: `${wanted} was asked for.` };
  }
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
