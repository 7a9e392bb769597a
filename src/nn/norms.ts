import { hasOwnKernels, ops, type Tensor } from '../engine/index.ts';

/**
 * Root-mean-square norm as transformers' Llama computes it: in fp32 whatever the input's dtype (fp64 stays fp64), cast
 * back, and only then multiplied by the weight. `x [..., width]`, `weight [width]`.
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  if (hasOwnKernels(x)) return ops.fusedRmsNorm(x, weight, epsilon);
  if (x.dtype === 'float32' || x.dtype === 'float64') {
    return ops.rmsNorm(x, weight.shape, weight, epsilon);
  }
  const normed = ops.rmsNorm(ops.to(x, 'float32'), weight.shape, null, epsilon);
  return ops.mul(ops.to(normed, x.dtype), weight);
}

/** Layer norm over the last dimension: `x [..., width]`, `weight [width]`, `bias [width]`. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  return ops.layerNorm(x, weight.shape, weight, bias, epsilon);
}
