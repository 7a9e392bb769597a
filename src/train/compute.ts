import { type DType, keep, noGrad, ops } from '../engine/index.ts';
import type { Trunk } from '../models/contract.ts';
import type { Parameter } from '../nn/parameter.ts';
import { MasterWeights } from '../optim/index.ts';

/** Every parameter of a model, adapters included, once. */
export function allParameters(model: Trunk): Parameter[] {
  return [...new Set([...model.parameters.values(), ...model.layers.flatMap((layer) => layer.parameters)])];
}

/**
 * Makes a model compute in `dtype`, with fp32 masters of what is trained: frozen parameters are cast for good, trained
 * ones get a copy.
 */
export function startTraining(model: Trunk, trained: readonly Parameter[], dtype: DType): MasterWeights {
  const frozen = new Set(allParameters(model));
  for (const parameter of trained) frozen.delete(parameter);
  for (const parameter of frozen) cast(parameter, dtype);
  const masters = new MasterWeights(trained, dtype);
  model.dtype = dtype;
  return masters;
}

/** Replaces a parameter's value by one of another dtype. */
export function cast(parameter: Parameter, dtype: DType): void {
  const before = parameter.value;
  before.setRequiresGrad(false);
  if (before.dtype === dtype) return;
  parameter.value = noGrad(() => keep(ops.to(before, dtype)));
  before.dispose();
}
