import type { DType } from '../engine/index.ts';
import type { Trunk } from '../models/contract.ts';
import type { Parameter } from '../nn/parameter.ts';
import type { MasterWeights } from '../optim/index.ts';
import { cast, startTraining } from './compute.ts';

/** What is trained of a model, with its fp32 masters. */
export class TrainedWeights {
  /** In a fixed order. */
  readonly parameters: readonly Parameter[];
  readonly masters: MasterWeights;
  readonly #dtype: DType;
  #isReleased = false;

  /** The model computes in `dtype` from here on. */
  constructor(model: Trunk, parameters: readonly Parameter[], dtype: DType) {
    this.parameters = parameters;
    this.masters = startTraining(model, parameters, dtype);
    this.#dtype = dtype;
  }

  get size(): number {
    return this.parameters.reduce((sum, { value }) => sum + value.size, 0);
  }

  /** Ends training: the model holds the trained values in the dtype that it computed in, which is what was evaluated. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.masters.release();
    for (const parameter of this.parameters) cast(parameter, this.#dtype);
  }
}
