import { keep, noGrad, ops, type Tensor, tidy, wideDType, zeros } from '../engine/index.ts';
import type { Lookup } from '../models/index.ts';
import type { Parameter } from '../nn/parameter.ts';

/**
 * The gradients of one optimiser step, summed over its micro-batches, one tensor a parameter. A single contribution stays
 * as it was computed; sums are fp32 (fp64 for fp64 weights), since bf16 would lose what the later micro-batches add.
 */
export class GradientStore {
  readonly #sums = new Map<Parameter, Tensor>();

  /** Adds a gradient of the parameter's shape. The tensor may be taken over: do not write to it afterwards. */
  add(parameter: Parameter, gradient: Tensor): void {
    if (!this.#sums.has(parameter)) {
      this.#sums.set(parameter, keep(ops.contiguous(gradient)));
      return;
    }
    tidy(() =>
      noGrad(() => {
        const sum = this.#wideSum(parameter);
        // Widened first: libtorch adds two dtypes element by element, four times slower than both steps together.
        ops.add_(sum, ops.to(gradient, sum.dtype));
      }),
    );
  }

  /** Adds `left @ right` without a temporary of the parameter's size where the dtypes allow it. */
  addProduct(parameter: Parameter, left: Tensor, right: Tensor): void {
    const sum = this.#sums.get(parameter);
    if (sum !== undefined && sum.dtype === left.dtype && isWide(sum)) {
      noGrad(() => ops.addProduct_(sum, left, right));
    } else {
      tidy(() => this.add(parameter, ops.product(left, right)));
    }
  }

  /** Adds the gradient of a lookup, whose result has the slope `[T, width]`. */
  addRows({ table, rows, scale }: Lookup, slope: Tensor): void {
    tidy(() =>
      noGrad(() => {
        const sum = this.#wideSum(table);
        ops.indexAdd_(sum, 0, rows, ops.to(slope, sum.dtype), { alpha: scale });
      }),
    );
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

  /** The parameter's sum in a dtype that can be added to, from nothing if need be. */
  #wideSum(parameter: Parameter): Tensor {
    const before = this.#sums.get(parameter);
    if (before !== undefined && isWide(before)) return before;
    const { shape, device, dtype } = parameter.value;
    const wide = wideDType(dtype);
    const sum = keep(before === undefined ? zeros(shape, { dtype: wide, device }) : ops.to(before, wide));
    before?.dispose();
    this.#sums.set(parameter, sum);
    return sum;
  }
}

function isWide({ dtype }: Tensor): boolean {
  return dtype === 'float32' || dtype === 'float64';
}
