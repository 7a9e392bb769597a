import { noGrad, ops, type Tensor, tidy } from '../engine/index.ts';

/**
 * Global L2 norm over all gradients, as `torch.nn.utils.get_total_norm` computes it: the norm of the tensors' norms.
 * Reading it waits for the device once; the trainer needs the number anyway, to stop before a NaN reaches the weights.
 */
export function globalNorm(gradients: readonly Tensor[]): number {
  return tidy(() =>
    noGrad(() => {
      const norms = ops._foreachNorm([...gradients], 2);
      return ops.linalgVectorNorm(ops.stack(norms), 2).item();
    }),
  );
}

/**
 * Scales gradients in place so that their global norm is at most `maximum`, as `clip_grad_norm_` does (whose factor is
 * `maximum / (norm + 1e-6)`, in fp32, when below 1).
 */
export function clipToNorm(gradients: readonly Tensor[], norm: number, maximum: number): void {
  const factor = Math.fround(maximum / Math.fround(norm + 1e-6));
  if (factor < 1) noGrad(() => ops._foreachMul_([...gradients], factor));
}
