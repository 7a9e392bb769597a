import { MallowsError, TrainingError } from '../errors.ts';
import type { DamagedCheckpoint } from '../runs/index.ts';
import { describeSystemError, type SystemError } from '../system-errors.ts';
import { formatBytes } from '../units.ts';

/** What a run has to go on from. @param step of the last checkpoint, below 0 without one */
export function keptWords(step: number): string {
  return step < 0 ? 'No checkpoint was written yet.' : `The checkpoint of step ${step} is kept.`;
}

export function weightsNotFinite(step: number, norm: number, kept: string): TrainingError {
  return new TrainingError(
    'weights-not-finite',
    `After step ${step} the weights are not finite numbers (their norm is ${norm}).`,
    { hint: `${kept} Lower the learning rate, or train in fp32.` },
  );
}

export function evaluationNotFinite(loss: number | undefined): TrainingError {
  return new TrainingError('evaluation-not-finite', `The held-out loss is ${loss}.`, {
    hint: 'Look at the held-out rows; with a lower learning rate or in fp32, train anew.',
  });
}

/** @param checkpoint that holds the updates before the evaluation, which the resumed run begins with */
export function evaluationFailed(error: unknown, step: number, checkpoint: string): MallowsError {
  const message = `The evaluation after step ${step} failed: ${error instanceof Error ? error.message : error}`;
  const where = `The updates so far are kept in ${checkpoint}`;
  const goOn = `${where}: resumed, the run begins with this evaluation.`;
  if (!(error instanceof MallowsError)) {
    return new TrainingError('evaluation-failed', message, { hint: goOn, cause: error });
  }
  // A loss that is not finite is so again.
  const kept = error.code === 'evaluation-not-finite' ? `${where}.` : goOn;
  return error.reworded(message, error.hint === undefined ? kept : `${error.hint} ${kept}`);
}

export function checkpointNotWritten(
  error: SystemError,
  checkpoint: { readonly path: string; readonly bytes: number },
  kept: string,
): TrainingError {
  return new TrainingError(
    'checkpoint-not-written',
    `The checkpoint ${checkpoint.path}, which takes ${formatBytes(checkpoint.bytes)}, could not be written: ${describeSystemError(error)}.`,
    { hint: `${kept} Make room, or make the directory writable, and resume.`, cause: error },
  );
}

/** Nothing is removed: the files that are whole may be worth something. */
export function checkpointsDamaged(run: string, damaged: readonly DamagedCheckpoint[]): TrainingError {
  const each = damaged.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
  return new TrainingError('checkpoints-damaged', `No checkpoint of ${run} can be used. ${each}.`, {
    hint: 'Restore what is named, or overwrite the run.',
  });
}
