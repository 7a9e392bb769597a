import type { Tensor } from '../engine/index.ts';

/**
 * A named weight. `value` is the tensor that the forward pass reads (compute dtype); the optimiser may hold an fp32
 * master copy of its own. A parameter is trainable when its `value` requires grad.
 */
export class Parameter {
  readonly name: string;
  value: Tensor;
  /** Whether the trainer updates it. */
  trainable = false;

  constructor(name: string, value: Tensor) {
    this.name = name;
    this.value = value;
  }
}
