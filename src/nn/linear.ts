import { keep, ops, type Tensor, tidy } from '../engine/index.ts';
import type { Parameter } from './parameter.ts';

/** How a weight is stored: `[out, in]` as PyTorch's Linear, or `[in, out]` as GPT-2's Conv1D. */
export type LinearLayout = 'out-in' | 'in-out';

/** A low-rank update: the layer computes `x Wᵀ + bias + scale · (x Aᵀ) Bᵀ`. */
export interface LowRankAdapter {
  /** `[rank, in]` */
  readonly a: Parameter;
  /** `[out, rank]` */
  readonly b: Parameter;
  readonly scale: number;
}

/** An affine map over the last dimension. Storage stays as in the checkpoint, so that saving gives the same file. */
export class Linear {
  /** Hugging Face name without `.weight`. */
  readonly name: string;
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly layout: LinearLayout;
  /** Set by `attachLora`, cleared by `mergeLora` and `detachLora`. */
  adapter: LowRankAdapter | undefined = undefined;
  #packed: Tensor | undefined = undefined;

  constructor(name: string, weight: Parameter, bias?: Parameter, layout: LinearLayout = 'out-in') {
    this.name = name;
    this.weight = weight;
    this.bias = bias;
    this.layout = layout;
  }

  get inFeatures(): number {
    return this.weight.value.shape[this.layout === 'out-in' ? 1 : 0]!;
  }

  get outFeatures(): number {
    return this.weight.value.shape[this.layout === 'out-in' ? 0 : 1]!;
  }

  /** Weight, bias if there is one, and the adapter's matrices if there is one. */
  get parameters(): readonly Parameter[] {
    const own = this.bias === undefined ? [this.weight] : [this.weight, this.bias];
    return this.adapter === undefined ? own : [...own, this.adapter.a, this.adapter.b];
  }

  /**
   * Holds the weight a second time, in the order in which the CPU's bf16 products read it, until the function that this
   * returns is called. Meanwhile `forward` has no gradient and does not see changes of the weight.
   */
  pack(): () => void {
    if (this.#packed !== undefined) return () => {};
    const { value } = this.weight;
    const packed = tidy(() => keep(ops.packLinear(this.layout === 'out-in' ? value : ops.t(value))));
    this.#packed = packed;
    return () => {
      this.#packed = undefined;
      packed.dispose();
    };
  }

  /** The packed weight, if there is nothing else to the map: no bias, no adapter. */
  get packedAlone(): Tensor | undefined {
    return this.bias === undefined && this.adapter === undefined ? this.#packed : undefined;
  }

  /** `x [rows, in]` → `[rows, out]`. */
  forward(x: Tensor): Tensor {
    const bias = this.bias?.value ?? null;
    if (this.#packed !== undefined) {
      const output = ops.packedLinear(x, this.#packed, this.outFeatures, bias);
      if (this.adapter === undefined) return output;
      const { a, b, scale } = this.adapter;
      return ops.add(output, ops.linear(ops.linear(x, a.value), b.value), { alpha: scale });
    }
    const { value } = this.weight;
    const weight = this.layout === 'out-in' ? value : ops.t(value);
    if (this.adapter === undefined) return ops.linear(x, weight, bias);
    const { a, b, scale } = this.adapter;
    return ops.adaptedLinear(x, weight, bias, a.value, b.value, scale);
  }
}
