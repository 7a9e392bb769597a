import { keep, noGrad, ops, type Tensor, tensor, tidy, zeros } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import type { OptimizedParameter, Optimizer, SGDOptions } from './contract.ts';
import { buckets, nameSlots, pick, prepared, refreshCopies, restoreTensors, zeroSlot } from './slots.ts';

/** SGD as `torch.optim.SGD` computes it: the first momentum buffer is the gradient itself, without dampening. */
export class SGD implements Optimizer {
  readonly name = 'sgd';
  readonly #parameters: readonly OptimizedParameter[];
  readonly #momentum: number;
  readonly #dampening: number;
  readonly #nesterov: boolean;
  readonly #weightDecay: number;
  readonly #buffers: Tensor[];
  /** Which parameters have had an update, 0 or 1 each: on the host for the step, as a tensor for the checkpoint. */
  #started: number[];
  readonly #startedState: Tensor;

  constructor(parameters: readonly OptimizedParameter[], options: SGDOptions) {
    this.#parameters = parameters;
    this.#momentum = options.momentum ?? 0;
    this.#dampening = options.dampening ?? 0;
    this.#nesterov = options.nesterov ?? false;
    this.#weightDecay = options.weightDecay ?? 0;
    if (this.#nesterov && (this.#momentum <= 0 || this.#dampening !== 0)) {
      throw new UsageError(
        'sgd-nesterov',
        `Nesterov momentum needs momentum > 0 and dampening 0; received ${this.#momentum} and ${this.#dampening}.`,
      );
    }
    this.#buffers = this.#momentum > 0 ? zeroSlot(parameters) : [];
    this.#started = parameters.map(() => 0);
    this.#startedState = keep(zeros([parameters.length], { dtype: 'float32' }));
  }

  step(gradients: readonly (Tensor | null)[], learningRate: number, scale = 1): void {
    noGrad(() => {
      for (const { decay, indices } of buckets(this.#parameters, gradients)) {
        for (const first of [true, false]) {
          const now = indices.filter((index) => (this.#started[index] === 0) === first);
          if (now.length === 0) continue;
          tidy(() => {
            const wide = prepared(this.#parameters, gradients, now, scale);
            this.#update(now, wide, decay ? this.#weightDecay : 0, learningRate, first);
            refreshCopies(pick(this.#parameters, now));
          });
        }
      }
      this.#markStarted(gradients);
    });
  }

  #markStarted(gradients: readonly (Tensor | null)[]): void {
    const started = this.#started.map((flag, index) => (gradients[index] == null ? flag : 1));
    if (started.join() === this.#started.join()) return;
    this.#started = started;
    tidy(() => {
      ops.copy_(this.#startedState, tensor(started, { dtype: 'float32' }));
    });
  }

  #update(
    indices: readonly number[],
    gradients: Tensor[],
    weightDecay: number,
    learningRate: number,
    isFirstStep: boolean,
  ): void {
    ops._fusedSgd_(
      indices.map((index) => this.#parameters[index]!.master),
      gradients,
      this.#momentum > 0 ? pick(this.#buffers, indices) : [],
      {
        weightDecay,
        momentum: this.#momentum,
        lr: learningRate,
        dampening: this.#dampening,
        nesterov: this.#nesterov,
        maximize: false,
        isFirstStep,
      },
    );
  }

  state(): ReadonlyMap<string, Tensor> {
    const buffers = nameSlots(this.#parameters, { momentum_buffer: this.#buffers });
    return buffers.set('started', this.#startedState);
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    restoreTensors(this.state(), state, 'optimiser state');
    this.#started = [...this.#startedState.toFloat64()];
  }

  dispose(): void {
    for (const state of this.state().values()) state.dispose();
  }
}
