import { keep, noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import type { Parameter } from '../nn/parameter.ts';

/**
 * The gradients of one optimiser step, summed over its micro-batches in fp32 (fp64 for fp64 weights), one tensor a
 * parameter. bf16 sums would lose what the later micro-batches add.
 */
export class GradientStore {
  readonly #sums = new Map<Parameter, Tensor>();

  /** Adds a gradient of the parameter's shape. The tensor may be taken over: do not write to it afterwards. */
  add(parameter: Parameter, gradient: Tensor): void {
    tidy(() =>
      noGrad(() => {
        const sum = this.#sums.get(parameter);
        if (sum !== undefined) ops.add_(sum, gradient);
        else this.#sums.set(parameter, keep(ops.contiguous(wide(gradient))));
      }),
    );
  }

  /** Adds `left @ right` without a temporary of the parameter's size where the dtypes allow it. */
  addProduct(parameter: Parameter, left: Tensor, right: Tensor): void {
    const sum = this.#sums.get(parameter);
    if (sum !== undefined && sum.dtype === left.dtype) noGrad(() => ops.addmm_(sum, left, right));
    else tidy(() => this.add(parameter, ops.mm(left, right)));
  }

  get(parameter: Parameter): Tensor | null {
    return this.#sums.get(parameter) ?? null;
  }

  /** All sums, in the order of their first contribution. */
  values(): readonly Tensor[] {
    return [...this.#sums.values()];
  }

  /** Frees everything: the next step starts from nothing. */
  clear(): void {
    for (const sum of this.#sums.values()) sum.dispose();
    this.#sums.clear();
  }
}

function wide(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? ops.to(x, 'float32') : x;
}
