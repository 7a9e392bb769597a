import { keep, noGrad, ops, type Tensor, tidy, zeros } from '../engine/index.ts';
import { requireAverageWeight } from './average.ts';
import type { AdamWOptions, OptimizedParameter, Optimizer } from './contract.ts';
import {
  buckets,
  byKernel,
  nameSlots,
  pick,
  prepared,
  refreshCopies,
  restoreTensors,
  zeroSlot,
} from './slots.ts';

/**
 * AdamW (Loshchilov and Hutter, 2019) with the arithmetic of `torch.optim.AdamW(fused=True)`: one pass over weights,
 * gradients and moments, which on the CPU writes the copy to compute with as well.
 */
export class AdamW implements Optimizer {
  readonly name = 'adamw';
  readonly #parameters: readonly OptimizedParameter[];
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;
  readonly #weightDecay: number;
  readonly #firstMoments: Tensor[];
  readonly #secondMoments: Tensor[];
  /** Updates so far, one scalar a parameter, as the kernel wants it. */
  readonly #steps: Tensor[];

  constructor(parameters: readonly OptimizedParameter[], options: AdamWOptions) {
    this.#parameters = parameters;
    this.#betas = options.betas ?? [0.9, 0.999];
    this.#epsilon = options.epsilon ?? 1e-8;
    this.#weightDecay = options.weightDecay ?? 0;
    for (const [index, beta] of this.#betas.entries())
      requireAverageWeight(`adamw’s beta ${index + 1}`, beta);
    this.#firstMoments = zeroSlot(parameters);
    this.#secondMoments = zeroSlot(parameters);
    this.#steps = parameters.map(({ master }) =>
      keep(zeros([], { dtype: 'float32', device: master.device })),
    );
  }

  step(gradients: readonly (Tensor | null)[], learningRate: number, scale = 1): void {
    const { own, library } = byKernel(this.#parameters, gradients);
    noGrad(() => {
      for (const [index, gradient] of own.entries()) {
        if (gradient !== null) this.#ownUpdate(index, gradient, learningRate, scale);
      }
      for (const { decay, indices } of buckets(this.#parameters, library)) {
        tidy(() =>
          this.#libraryUpdate(indices, gradients, decay ? this.#weightDecay : 0, learningRate, scale),
        );
      }
    });
  }

  #ownUpdate(index: number, gradient: Tensor, learningRate: number, scale: number): void {
    const { master, copy, decay } = this.#parameters[index]!;
    const updates = this.#steps[index]!;
    // The kernels divide by 1 − βᵗ, so they want the count of this update.
    ops.add_(updates, 1);
    ops.fusedAdamwStep_(
      master,
      gradient,
      this.#firstMoments[index]!,
      this.#secondMoments[index]!,
      copy,
      updates,
      scale,
      learningRate,
      ...this.#betas,
      this.#epsilon,
      decay ? this.#weightDecay : 0,
    );
  }

  #libraryUpdate(
    indices: readonly number[],
    gradients: readonly (Tensor | null)[],
    weightDecay: number,
    learningRate: number,
    scale: number,
  ): void {
    const steps = pick(this.#steps, indices);
    ops._foreachAdd_(steps, 1);
    const [beta1, beta2] = this.#betas;
    ops._fusedAdamw_(
      indices.map((index) => this.#parameters[index]!.master),
      prepared(this.#parameters, gradients, indices, scale),
      pick(this.#firstMoments, indices),
      pick(this.#secondMoments, indices),
      [],
      steps,
      { lr: learningRate, beta1, beta2, weightDecay, eps: this.#epsilon, amsgrad: false, maximize: false },
    );
    refreshCopies(pick(this.#parameters, indices));
  }

  state(): ReadonlyMap<string, Tensor> {
    return nameSlots(this.#parameters, {
      exp_avg: this.#firstMoments,
      exp_avg_sq: this.#secondMoments,
      step: this.#steps,
    });
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    restoreTensors(this.state(), state, 'optimiser state');
  }

  dispose(): void {
    for (const tensor of this.state().values()) tensor.dispose();
  }
}
