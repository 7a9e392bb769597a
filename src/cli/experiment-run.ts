import type { EstimatedStage, StageWatch } from '../experiments/index.ts';
import type { TrainObserver } from '../train/index.ts';
import type { CliContext } from './context.ts';
import { asInterrupted } from './interrupt.ts';
import { formatDuration, Progress } from './progress.ts';
import { TrainWatcher } from './training/watcher.ts';

/**
 * Runs an experiment of several stages, showing each of them; an interrupted one goes on with the same command. `note`
 * writes a remark that does not tear the progress line.
 */
export async function runExperiment<T>(
  context: CliContext,
  run: (watch: StageWatch & { readonly observer: TrainObserver }, note: (text: string) => void) => Promise<T>,
): Promise<T> {
  const interrupt = context.interruptible(
    'Stopping after this step; what is done is kept. Again to stop at once.',
  );
  const trainer = new TrainWatcher(context);
  let timetable = new Timetable([]);
  let bar: Progress | undefined;
  const finishBar = (): void => {
    bar?.finish();
    bar = undefined;
  };
  try {
    const watch = {
      signal: interrupt.signal,
      observer: trainer.observe,
      onPlan: (stages) => {
        timetable = new Timetable(stages);
        for (const line of timetable.lines()) context.note(line);
        context.emit({ event: 'plan', stages });
      },
      onStage: (name, kept) => {
        finishBar();
        const time = timetable.begin(name, kept);
        context.note(`${context.paint.bold(name)}  ${context.paint.dim(time)}`);
        context.emit({ event: 'stage', name, kept });
      },
      onProgress: (done, total) => {
        bar ??= new Progress(context, { unit: 'answer' });
        bar.update({ done, total, fields: [] });
        if (done === total) finishBar();
      },
    } satisfies StageWatch & { readonly observer: TrainObserver };
    return await run(watch, (text) => (bar ?? context).note(text));
  } catch (error) {
    const message = 'Interrupted; finished stages are kept. Go on with the same command.';
    throw asInterrupted(error, interrupt.signal, message);
  } finally {
    finishBar();
    interrupt.release();
    await trainer.finish();
  }
}

/** Which stage is under way, and about how long it and the rest may take at the pace so far. */
export class Timetable {
  readonly #stages: readonly EstimatedStage[];
  readonly #now: () => number;
  #current: { readonly stage: EstimatedStage; readonly since: number } | undefined;
  #planned = 0;
  #taken = 0;

  constructor(stages: readonly EstimatedStage[], now: () => number = Date.now) {
    this.#stages = stages;
    this.#now = now;
  }

  /** What is to be done, a line a stage. */
  lines(): string[] {
    const names = Math.max(...this.#stages.map(({ name }) => name.length));
    const total = this.#seconds(this.#stages);
    return [
      `${this.#stages.length} stages${total > 0 ? `, about ${formatDuration(total)} on this machine if nothing else runs` : ''}:`,
      ...this.#stages.map(({ name, work, seconds }) => {
        const time = seconds === undefined ? '' : `, about ${formatDuration(seconds)}`;
        return `  ${name.padEnd(names)}  ${work}${time}`;
      }),
    ];
  }

  /** A stage begins, which ends the one before: `3 of 12, about 2 min 10 s; 24 min 03 s to go`. */
  begin(name: string, kept: boolean): string {
    if (this.#current !== undefined) {
      this.#planned += this.#current.stage.seconds ?? 0;
      this.#taken += (this.#now() - this.#current.since) / 1000;
    }
    const index = this.#stages.findIndex((stage) => stage.name === name);
    const stage = this.#stages[index];
    this.#current = stage === undefined || kept ? undefined : { stage, since: this.#now() };
    if (stage === undefined) return kept ? 'kept' : '';
    const place = `${index + 1} of ${this.#stages.length}`;
    if (kept) return `${place}, kept`;
    if (stage.seconds === undefined) return place;
    const pace = this.#planned > 0 ? this.#taken / this.#planned : 1;
    const rest = this.#seconds(this.#stages.slice(index));
    return `${place}, about ${formatDuration(pace * stage.seconds)}; ${formatDuration(pace * rest)} to go`;
  }

  #seconds(stages: readonly EstimatedStage[]): number {
    return stages.reduce((sum, { seconds = 0 }) => sum + seconds, 0);
  }
}
