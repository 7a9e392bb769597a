import { AsyncLocalStorage } from 'node:async_hooks';
import { UsageError } from '../errors.ts';
import type { Trunk } from './contract.ts';

/*
 * Reading a model may hold copies of its weights, training changes them: the two must not overlap. A training reads its own
 * model (KL, samples, probes), so what it awaits is told apart from what other callers begin meanwhile.
 */

const trained = new WeakMap<Trunk, symbol>();
const readers = new WeakMap<Trunk, number>();
const current = new AsyncLocalStorage<symbol | undefined>();

/**
 * Runs a training of `model`. Until it is over, only the training itself reads the model.
 *
 * @throws UsageError `model-in-use` where the model is read or trained already
 */
export async function whileTraining<Result>(model: Trunk, train: () => Promise<Result>): Promise<Result> {
  requireUnused(model);
  const training = Symbol('training');
  trained.set(model, training);
  try {
    return await current.run(training, train);
  } finally {
    trained.delete(model);
  }
}

/** A caller's function, for a training to call: what it begins is not awaited, so it does not count as the training's own. */
export function outsideTraining<Args extends readonly unknown[]>(
  call: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => current.run(undefined, () => call(...args));
}

/**
 * Says that a model is read from now on.
 *
 * @returns ends that
 * @throws UsageError `model-in-use` where someone else trains the model
 */
export function beginReading(model: Trunk): () => void {
  const training = trained.get(model);
  if (training !== undefined && training !== current.getStore()) throw beingTrained();
  readers.set(model, (readers.get(model) ?? 0) + 1);
  return () => readers.set(model, readers.get(model)! - 1);
}

/**
 * For whoever is to change a model's weights from outside of a training.
 *
 * @throws UsageError `model-in-use` where the model is trained or read
 */
export function requireUnused(model: Trunk): void {
  if (trained.has(model)) throw beingTrained();
  requireUnread(model);
}

/**
 * For a training, before each change of the weights: what a probe began without awaiting it may go on.
 *
 * @throws UsageError `model-in-use` where the model is read
 */
export function requireUnread(model: Trunk): void {
  if ((readers.get(model) ?? 0) === 0) return;
  throw new UsageError('model-in-use', 'This model is being read: it generates, scores or is saved.', {
    hint: 'Await that first, or load the model again for it.',
  });
}

function beingTrained(): UsageError {
  return new UsageError('model-in-use', 'This model is being trained.', {
    hint: 'Wait for that training, or load the model again.',
  });
}
