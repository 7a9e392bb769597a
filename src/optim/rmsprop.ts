import { noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import { requireAverageWeight } from './average.ts';
import type { OptimizedParameter, Optimizer, RMSpropOptions } from './contract.ts';
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
 * RMSprop as `torch.optim.RMSprop` computes it: ε outside the square root, squared average from zero without bias
 * correction (so the first step is 1/√(1 − α), ten times Adam's at the default α), L2 added to the gradient.
 */
export class RMSprop implements Optimizer {
  readonly name = 'rmsprop';
  readonly #parameters: readonly OptimizedParameter[];
  readonly #alpha: number;
  readonly #epsilon: number;
  readonly #momentum: number;
  readonly #weightDecay: number;
  readonly #squareAverages: Tensor[];
  readonly #gradientAverages: Tensor[] | undefined;
  readonly #buffers: Tensor[] | undefined;

  constructor(parameters: readonly OptimizedParameter[], options: RMSpropOptions) {
    this.#parameters = parameters;
    this.#alpha = options.alpha ?? 0.99;
    this.#epsilon = options.epsilon ?? 1e-8;
    this.#momentum = options.momentum ?? 0;
    this.#weightDecay = options.weightDecay ?? 0;
    requireAverageWeight('rmsprop’s alpha', this.#alpha);
    this.#squareAverages = zeroSlot(parameters);
    this.#gradientAverages = options.centered === true ? zeroSlot(parameters) : undefined;
    this.#buffers = this.#momentum > 0 ? zeroSlot(parameters) : undefined;
  }

  step(gradients: readonly (Tensor | null)[], learningRate: number, scale = 1): void {
    const plain = this.#gradientAverages === undefined && this.#buffers === undefined;
    const { own, library } = plain ? byKernel(this.#parameters, gradients) : { own: [], library: gradients };
    noGrad(() => {
      for (const [index, gradient] of own.entries()) {
        if (gradient !== null) this.#ownUpdate(index, gradient, learningRate, scale);
      }
      for (const { decay, indices } of buckets(this.#parameters, library)) {
        tidy(() => {
          const wide = prepared(this.#parameters, gradients, indices, scale);
          this.#update(indices, wide, decay ? this.#weightDecay : 0, learningRate);
          refreshCopies(pick(this.#parameters, indices));
        });
      }
    });
  }

  #ownUpdate(index: number, gradient: Tensor, learningRate: number, scale: number): void {
    const { master, copy, decay } = this.#parameters[index]!;
    ops.fusedRmspropStep_(
      master,
      gradient,
      this.#squareAverages[index]!,
      copy,
      scale,
      learningRate,
      this.#alpha,
      this.#epsilon,
      decay ? this.#weightDecay : 0,
    );
  }

  #update(indices: readonly number[], gradients: Tensor[], weightDecay: number, learningRate: number): void {
    const masters = indices.map((index) => this.#parameters[index]!.master);
    if (weightDecay !== 0) ops._foreachAdd_(gradients, masters, { alpha: weightDecay });
    const squares = pick(this.#squareAverages, indices);
    ops._foreachMul_(squares, this.#alpha);
    ops._foreachAddcmul_(squares, gradients, gradients, 1 - this.#alpha);
    const scale = this.#scale(indices, squares, gradients);
    if (this.#buffers === undefined) {
      ops._foreachAddcdiv_(masters, gradients, scale, -learningRate);
      return;
    }
    const buffers = pick(this.#buffers, indices);
    ops._foreachMul_(buffers, this.#momentum);
    ops._foreachAddcdiv_(buffers, gradients, scale, 1);
    ops._foreachAdd_(masters, buffers, { alpha: -learningRate });
  }

  /** √(mean square, about the mean when centered) + ε. */
  #scale(indices: readonly number[], squares: Tensor[], gradients: Tensor[]): Tensor[] {
    let scale: Tensor[];
    if (this.#gradientAverages === undefined) {
      scale = ops._foreachSqrt(squares);
    } else {
      const means = pick(this.#gradientAverages, indices);
      ops._foreachLerp_(means, gradients, 1 - this.#alpha);
      scale = ops._foreachAddcmul(squares, means, means, -1);
      ops._foreachSqrt_(scale);
    }
    ops._foreachAdd_(scale, this.#epsilon);
    return scale;
  }

  state(): ReadonlyMap<string, Tensor> {
    return nameSlots(this.#parameters, {
      square_avg: this.#squareAverages,
      ...(this.#gradientAverages && { grad_avg: this.#gradientAverages }),
      ...(this.#buffers && { momentum_buffer: this.#buffers }),
    });
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    restoreTensors(this.state(), state, 'optimiser state');
  }

  dispose(): void {
    for (const tensor of this.state().values()) tensor.dispose();
  }
}
