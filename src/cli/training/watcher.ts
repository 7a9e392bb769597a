import type { TrainEvent, TrainPhase } from '../../train/index.ts';
import type { CliContext } from '../context.ts';
import { noteRows } from '../data.ts';
import type { EventRecord } from '../events.ts';
import { Progress } from '../progress.ts';

const PHASES: Readonly<Record<TrainPhase, string>> = {
  load: 'Loading the model',
  tokenize: 'Reading the data',
  reference: 'Reference pass',
  train: 'Training',
  save: 'Saving the model',
};

/** Shows a run's events to people, and passes them to programs. */
export class TrainWatcher {
  readonly #context: CliContext;
  #progress: Progress | undefined;
  #pending: Promise<void> = Promise.resolve();

  constructor(context: CliContext) {
    this.#context = context;
  }

  readonly observe = (event: TrainEvent): void => {
    this.#context.emit(recordOf(event));
    switch (event.type) {
      case 'phase':
        this.#finishProgress();
        this.#note(this.#context.paint.dim(PHASES[event.phase]));
        if (event.phase === 'train') this.#progress = new Progress(this.#context, { unit: 'step' });
        break;
      case 'note':
        this.#note(event.level === 'warning' ? this.#context.paint.yellow(event.message) : event.message);
        break;
      case 'data':
        this.#pending = this.#pending.then(() => noteRows(this.#context, event, (text) => this.#note(text)));
        break;
      case 'reference':
        // One pass over the training pairs, then one over the held-out ones.
        this.#progress ??= new Progress(this.#context, { unit: 'pair' });
        this.#progress.update({ done: event.done, total: event.total, fields: [] });
        if (event.done === event.total) this.#finishProgress();
        break;
      case 'step':
        this.#progress?.update({ done: event.step, total: event.totalSteps, fields: stepFields(event) });
        break;
      case 'evaluation':
        this.#note(evaluationLine(event));
        break;
      case 'checkpoint':
        this.#note(this.#context.paint.dim(`checkpoint ${event.path}`));
        break;
      case 'resume':
        this.#note(`resuming after step ${event.step} (${event.path})`);
        break;
      default:
        event satisfies never;
    }
  };

  async finish(): Promise<void> {
    this.#finishProgress();
    await this.#pending;
  }

  #note(text: string): void {
    if (this.#progress !== undefined) this.#progress.note(text);
    else this.#context.note(text);
  }

  #finishProgress(): void {
    this.#progress?.finish();
    this.#progress = undefined;
  }
}

function recordOf(event: TrainEvent): EventRecord {
  const { type, ...rest } = event;
  return { event: type, ...rest };
}

function stepFields({ metrics, timing }: Extract<TrainEvent, { type: 'step' }>): string[] {
  const field = (label: string, key: string, digits: number): string[] => {
    const value = metrics[key];
    return typeof value === 'number' ? [`${label} ${value.toFixed(digits)}`] : [];
  };
  return [
    ...field('loss', 'loss', 4),
    ...field('accuracy', 'rewards/accuracies', 2),
    ...field('margin', 'rewards/margins', 3),
    `${timing.tokensPerSecond.toFixed(0)} tokens/s`,
  ];
}

function evaluationLine({ step, metrics }: Extract<TrainEvent, { type: 'evaluation' }>): string {
  const part = (label: string, key: string, digits: number): string[] => {
    const value = metrics[`eval_${key}`];
    if (typeof value !== 'number') return [];
    const [low, high] = [metrics[`eval_${key}/low`], metrics[`eval_${key}/high`]];
    const range =
      typeof low === 'number' && typeof high === 'number'
        ? ` (${low.toFixed(digits)} to ${high.toFixed(digits)})`
        : '';
    return [`${label} ${value.toFixed(digits)}${range}`];
  };
  return [
    `held out after step ${step}:`,
    ...part('loss', 'loss', 4),
    ...part('accuracy', 'rewards/accuracies', 3),
    ...part('margin', 'rewards/margins', 3),
    ...part('KL', 'kl/on_policy', 3),
  ].join('  ');
}
