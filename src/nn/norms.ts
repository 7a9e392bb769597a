import { hasOwnKernels, ops, type Tensor, wideDType } from '../engine/index.ts';

/**
 * How the families' root-mean-square norms differ. All compute in fp32 whatever the input's dtype (fp64 stays fp64):
 * - `rounded` (Llama) casts back and only then multiplies by the weight;
 * - `wide` (OLMo 2) multiplies first and rounds once;
 * - `offset` (Gemma) does as well, by 1 + weight.
 */
export type NormStyle = 'rounded' | 'wide' | 'offset';

/** Root-mean-square norm as transformers computes it: `x [..., width]`, `weight [width]`. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number, style: NormStyle = 'rounded'): Tensor {
  const factors = style === 'rounded' ? weight : wideFactors(weight, style);
  if (hasOwnKernels(x)) return ops.fusedRmsNorm(x, factors, epsilon);
  if (x.dtype === 'float32' || x.dtype === 'float64') {
    return ops.rmsNorm(x, factors.shape, factors, epsilon);
  }
  if (style === 'rounded') {
    const normed = ops.rmsNorm(ops.to(x, 'float32'), factors.shape, null, epsilon);
    return ops.mul(ops.to(normed, x.dtype), factors);
  }
  return ops.to(ops.rmsNorm(ops.to(x, 'float32'), factors.shape, factors, epsilon), x.dtype);
}

function wideFactors(weight: Tensor, style: 'wide' | 'offset'): Tensor {
  const wide = ops.to(weight, wideDType(weight.dtype));
  return style === 'offset' ? ops.add(wide, 1) : wide;
}

/** Layer norm over the last dimension: `x [..., width]`, `weight [width]`, `bias [width]`. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  return ops.layerNorm(x, weight.shape, weight, bias, epsilon);
}
