import type { Tensor } from '../engine/index.ts';

/** A weight as an optimiser sees it: always fp32 (or fp64 in tests). */
export interface OptimizedParameter {
  readonly name: string;
  /** Updated in place. */
  readonly master: Tensor;
  /** What the network computes with, where that is not the master itself; follows the master. */
  readonly copy?: Tensor;
  /** Whether weight decay applies. By convention not to norms and biases (see `decays`). */
  readonly decay: boolean;
}

/**
 * One update rule over a fixed list of parameters, with PyTorch's semantics. It owns its state tensors and nothing
 * else: parameters and gradients belong to the caller.
 */
export interface Optimizer {
  readonly name: OptimizerName;
  /**
   * Updates every master and its copy in place. `gradients[i]` belongs to the i-th parameter and has its shape, and the
   * master's dtype or a narrower one; `null` leaves that parameter and its state alone, as PyTorch does with an absent
   * gradient. Gradients count times `scale` (default 1, see `clipFactor`), and may be overwritten.
   */
  step(gradients: readonly (Tensor | null)[], learningRate: number, scale?: number): void;
  /** Live state tensors by name (`<parameter>/<slot>`), for a checkpoint. Owned by the optimiser. */
  state(): ReadonlyMap<string, Tensor>;
  /** Copies saved values back. Throws `ModelError` when a tensor is missing, unknown or of another shape. */
  restore(state: ReadonlyMap<string, Tensor>): void;
  dispose(): void;
}

export type OptimizerName = 'adamw' | 'rmsprop' | 'sgd';

/** The optimiser and its coefficients, as a recipe states them. Absent coefficients take PyTorch's defaults. */
export type OptimizerOptions = AdamWOptions | RMSpropOptions | SGDOptions;

export interface AdamWOptions {
  readonly name: 'adamw';
  /** Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled (AdamW). Default 0, the default of TRL's trainers; PyTorch's own class says 0.01. */
  readonly weightDecay?: number;
}

/** The paper's optimiser. */
export interface RMSpropOptions {
  readonly name: 'rmsprop';
  /** Smoothing of the squared gradient. Default 0.99. */
  readonly alpha?: number;
  /** Added outside the square root. Default 1e-8. */
  readonly epsilon?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** Subtract the squared mean gradient. Default false. */
  readonly centered?: boolean;
  /** L2, added to the gradient. Default 0. */
  readonly weightDecay?: number;
}

export interface SGDOptions {
  readonly name: 'sgd';
  /** Default 0. */
  readonly momentum?: number;
  /** Default 0. */
  readonly dampening?: number;
  /** Default false. Needs momentum and no dampening. */
  readonly nesterov?: boolean;
  /** L2, added to the gradient. Default 0. */
  readonly weightDecay?: number;
}

/**
 * Whether weight decay applies to a parameter: to matrices (embeddings included), not to norms and biases. The same
 * choice as the Hugging Face `Trainer` makes by name.
 */
export function decays(shape: readonly number[]): boolean {
  return shape.length > 1;
}
