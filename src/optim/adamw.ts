import { keep, noGrad, ops, type Tensor, zeros } from '../engine/index.ts';
import type { AdamWOptions, OptimizedParameter, Optimizer } from './contract.ts';
import { buckets, nameSlots, pick, restoreTensors, zeroSlot } from './slots.ts';

/**
 * AdamW (Loshchilov and Hutter, 2019) through the engine's fused kernel: one pass over weights, gradients and moments,
 * the same arithmetic as `torch.optim.AdamW(fused=True)`.
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
    this.#firstMoments = zeroSlot(parameters);
    this.#secondMoments = zeroSlot(parameters);
    this.#steps = parameters.map(({ master }) =>
      keep(zeros([], { dtype: 'float32', device: master.device })),
    );
  }

  step(gradients: readonly (Tensor | null)[], learningRate: number): void {
    const [beta1, beta2] = this.#betas;
    noGrad(() => {
      for (const { decay, indices } of buckets(this.#parameters, gradients)) {
        const steps = pick(this.#steps, indices);
        // The kernel divides by 1 − βᵗ, so it wants the count of this update.
        ops._foreachAdd_(steps, 1);
        ops._fusedAdamw_(
          indices.map((index) => this.#parameters[index]!.master),
          pick(gradients, indices),
          pick(this.#firstMoments, indices),
          pick(this.#secondMoments, indices),
          [],
          steps,
          {
            lr: learningRate,
            beta1,
            beta2,
            weightDecay: decay ? this.#weightDecay : 0,
            eps: this.#epsilon,
            amsgrad: false,
            maximize: false,
          },
        );
      }
    });
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
