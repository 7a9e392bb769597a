import { addon } from './addon.ts';
import { requireSynchronous } from './synchronous.ts';
import { handleOf, handlesOf, type Tensor, wrap } from './tensor.ts';

/** Runs `body`, which is synchronous, without recording a graph. */
export function noGrad<Result>(body: () => Result): Result {
  return withGrad('noGrad', false, body);
}

/** Runs `body`, which is synchronous, recording a graph, inside a `noGrad` as well. */
export function enableGrad<Result>(body: () => Result): Result {
  return withGrad('enableGrad', true, body);
}

function withGrad<Result>(name: string, enabled: boolean, body: () => Result): Result {
  const before = addon().setGradEnabled(enabled);
  try {
    const result = body();
    requireSynchronous(name, result);
    return result;
  } finally {
    addon().setGradEnabled(before);
  }
}

export interface GradOptions {
  /** Keeps the graph for another call; otherwise it is freed. */
  readonly retainGraph?: boolean;
  /** Records a graph of the gradients themselves, for second derivatives. Implies `retainGraph`. */
  readonly createGraph?: boolean;
}

/**
 * Vector–Jacobian product: the gradient of Σ outputs·gradOutputs with respect to each input, or null for an input
 * that the outputs do not depend on. Entries of `gradOutputs` have their output's shape and may be null for scalar
 * outputs (meaning 1). Nothing accumulates anywhere.
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly (Tensor | null)[] = outputs.map(() => null),
  options: GradOptions = {},
): (Tensor | null)[] {
  const createGraph = options.createGraph ?? false;
  const gradients = addon().grad(
    handlesOf(outputs),
    handlesOf(inputs),
    gradOutputs.map((gradient) => (gradient === null ? undefined : handleOf(gradient))),
    options.retainGraph ?? createGraph,
    createGraph,
  );
  return gradients.map((gradient) => (gradient === undefined ? null : wrap(gradient)));
}
