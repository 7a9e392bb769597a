import { type DType, keep, noGrad, ops, type Tensor } from '../engine/index.ts';
import type { Parameter } from '../nn/parameter.ts';
import { decays, type OptimizedParameter } from './contract.ts';
import { refreshCopies } from './slots.ts';

/**
 * The fp32 weights that the optimiser updates, and the copies in the compute dtype that the forward pass reads. Where
 * both dtypes are the same there is one tensor, not two.
 *
 * Without masters, a bf16 weight near 1 cannot take an update smaller than 0.4 %: at a preference-tuning learning rate
 * nearly every update would round away.
 */
export class MasterWeights {
  readonly parameters: readonly OptimizedParameter[];
  readonly #trained: readonly Parameter[];

  /**
   * Takes over the trained parameters: copies of their values, bf16 widened, become the masters, each computes in
   * `computeDtype` from then on, with its master or with a copy, and that tensor is marked as requiring gradients.
   */
  constructor(trained: readonly Parameter[], computeDtype: DType) {
    this.#trained = trained;
    this.parameters = trained.map((parameter) => {
      const { value } = parameter;
      const master = noGrad(() => keep(widened(value)));
      parameter.value =
        master.dtype === computeDtype ? master : noGrad(() => keep(ops.to(master, computeDtype)));
      value.dispose();
      parameter.value.setRequiresGrad(true);
      const copy = parameter.value === master ? {} : { copy: parameter.value };
      return { name: parameter.name, master, ...copy, decay: decays(master.shape) };
    });
  }

  /** Brings the compute copies up to date after a restore; optimisers do so themselves. */
  refresh(): void {
    refreshCopies(this.parameters);
  }

  /** Live masters by parameter name, for a checkpoint. */
  state(): ReadonlyMap<string, Tensor> {
    return new Map(this.parameters.map(({ name, master }) => [name, master]));
  }

  /** Makes the masters the parameters' values again and frees the compute copies: what is saved is what was trained. */
  release(): void {
    for (const [index, { master }] of this.parameters.entries()) {
      const parameter = this.#trained[index]!;
      if (parameter.value !== master) {
        parameter.value.dispose();
        parameter.value = master;
      }
      master.setRequiresGrad(false);
    }
  }
}

/**
 * The value in fp32 or wider, in memory of its own. A mapped file's would be copied page by page while it is first
 * updated, each time with a halt of the other threads, and lie in small pages from then on.
 */
function widened(value: Tensor): Tensor {
  return value.dtype === 'bfloat16' || value.dtype === 'float16'
    ? ops.to(value, 'float32')
    : ops.clone(value);
}
