import type { LoopResult, TrainOptions } from '../../train/index.ts';
import type { CliContext } from '../context.ts';
import { Interrupted } from '../errors.ts';
import { asInterrupted } from '../interrupt.ts';
import { TrainWatcher } from './watcher.ts';

/**
 * A training that is shown to people and programs, and that stops after the step under way when it is asked to.
 *
 * @param goOn the command that goes on with an interrupted run.
 * @throws Interrupted when it stopped before its end.
 */
export async function watched<Result extends LoopResult>(
  context: CliContext,
  goOn: string,
  train: (watch: Required<Pick<TrainOptions, 'observer' | 'signal'>>) => Promise<Result>,
): Promise<Result> {
  const watcher = new TrainWatcher(context);
  const interrupt = context.interruptible(
    'Finishing this step and saving a checkpoint; press Ctrl-C again to stop at once.',
  );
  let result: Result;
  try {
    result = await train({ observer: watcher.observe, signal: interrupt.signal });
  } catch (error) {
    // The reference pass stops by throwing; what it scored so far is kept.
    throw asInterrupted(error, interrupt.signal, `Interrupted. Go on with: ${goOn}`);
  } finally {
    interrupt.release();
    await watcher.finish();
  }
  if (result.status === 'interrupted') {
    const { step, totalSteps } = result;
    throw new Interrupted(`Interrupted after step ${step} of ${totalSteps}. Go on with: ${goOn}`);
  }
  return result;
}
