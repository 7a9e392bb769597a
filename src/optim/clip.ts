import { hasOwnKernels, noGrad, ops, type Tensor, tidy, wideDType } from '../engine/index.ts';

/**
 * Global L2 norm over all gradients, summed in fp32 or wider whatever their dtype. Reading it waits for the device once;
 * the trainer needs the number anyway, to stop before a NaN reaches the weights.
 */
export function globalNorm(gradients: readonly Tensor[]): number {
  return tidy(() =>
    noGrad(() => {
      const own = gradients.filter(hasOwnKernels);
      const others = gradients.filter((gradient) => !hasOwnKernels(gradient));
      const squares = own.reduce((sum, gradient) => sum + ops.sumOfSquares(gradient), 0);
      if (others.length === 0) return Math.sqrt(squares);
      const norms = others.map((gradient) => {
        const dtype = wideDType(gradient.dtype);
        return ops.linalgVectorNorm(gradient, 2, undefined, false, { dtype });
      });
      return Math.hypot(Math.sqrt(squares), ops.linalgVectorNorm(ops.stack(norms), 2).item());
    }),
  );
}

/**
 * What gradients are multiplied by so that their global norm is at most `maximum`: as in `clip_grad_norm_`,
 * `maximum / (norm + 1e-6)` in fp32 where that is below 1.
 */
export function clipFactor(norm: number, maximum: number): number {
  return Math.min(1, Math.fround(maximum / Math.fround(norm + 1e-6)));
}
