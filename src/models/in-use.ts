import { AsyncLocalStorage } from 'node:async_hooks';
import { UsageError } from '../errors.ts';
import type { Trunk } from './contract.ts';

/*
 * Reading a model holds copies of its weights, training changes them: the two must not overlap. A training reads its own
 * model (KL, samples, probes), so what it awaits is told apart from what other callers begin meanwhile.
 */

const trained = new WeakMap<Trunk, symbol>();
const readers = new WeakMap<Trunk, number>();
const current = new AsyncLocalStorage<symbol>();

/**
 * Runs a training of `model`. Until it is over, only the training itself reads the model.
 *
 * @throws UsageError `model-in-use` where the model is read or trained already
 */
export async function whileTraining<Result>(model: Trunk, train: () => Promise<Result>): Promise<Result> {
  if (trained.has(model)) {
    throw new UsageError('model-in-use', 'This model is being trained already.', {
      hint: 'Wait for that training, or load the model again.',
    });
  }
  if ((readers.get(model) ?? 0) > 0) {
    throw new UsageError('model-in-use', 'This model is being read: it generates or scores.', {
      hint: 'Wait until that is over, or load the model again to train it.',
    });
  }
  const training = Symbol('training');
  trained.set(model, training);
  try {
    return await current.run(training, train);
  } finally {
    trained.delete(model);
  }
}

/**
 * Says that a model is read from now on.
 *
 * @returns ends that
 * @throws UsageError `model-in-use` where someone else trains the model
 */
export function beginReading(model: Trunk): () => void {
  const training = trained.get(model);
  if (training !== undefined && training !== current.getStore()) {
    throw new UsageError('model-in-use', 'This model is being trained.', {
      hint: 'Load it again to generate or score meanwhile.',
    });
  }
  readers.set(model, (readers.get(model) ?? 0) + 1);
  return () => readers.set(model, readers.get(model)! - 1);
}
