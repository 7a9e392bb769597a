import type { StageWatch } from '../experiments/index.ts';
import type { TrainObserver } from '../train/index.ts';
import type { CliContext } from './context.ts';
import { Interrupted } from './errors.ts';
import { Progress } from './progress.ts';
import { TrainWatcher } from './training.ts';

/** Runs an experiment of several stages, showing each of them; an interrupted one goes on with the same command. */
export async function runExperiment<T>(
  context: CliContext,
  run: (watch: StageWatch & { readonly observer: TrainObserver }) => Promise<T>,
): Promise<T> {
  const interrupt = context.interruptible(
    'Stopping after this step; what is done is kept. Again to stop at once.',
  );
  const trainer = new TrainWatcher(context);
  let bar: Progress | undefined;
  const finishBar = (): void => {
    bar?.finish();
    bar = undefined;
  };
  try {
    return await run({
      signal: interrupt.signal,
      observer: trainer.observe,
      onStage: (name, kept) => {
        finishBar();
        context.note(`${context.paint.bold(name)}${kept ? ' (kept)' : ''}`);
        context.emit({ event: 'stage', name, kept });
      },
      onProgress: (done, total) => {
        bar ??= new Progress(context, { unit: 'answer' });
        bar.update({ done, total, fields: [] });
        if (done === total) finishBar();
      },
    });
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new Interrupted('Interrupted; finished stages are kept. Go on with the same command.');
  } finally {
    finishBar();
    interrupt.release();
    await trainer.finish();
  }
}
