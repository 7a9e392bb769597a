import type { CliContext } from './context.ts';

export interface ProgressState {
  readonly done: number;
  readonly total: number;
  /** What stands between bar and time left: `loss 0.651`. */
  readonly fields: readonly string[];
}

export interface ProgressOptions {
  /** Word in front of the counter: `step`, `pairs`. */
  readonly unit: string;
  /** Milliseconds between redraws on a terminal, and between lines elsewhere. */
  readonly redraw?: number;
  readonly line?: number;
  readonly now?: () => number;
}

const BAR = 20;

/**
 * One line that tells how far the work is: redrawn in place on a terminal, printed now and then elsewhere, and not at
 * all under `--json`.
 */
export class Progress {
  readonly #context: CliContext;
  readonly #unit: string;
  readonly #interval: number;
  readonly #now: () => number;
  readonly #start: number;
  #first: number | undefined;
  #shown = Number.NEGATIVE_INFINITY;
  #last: ProgressState | undefined;
  #printed: ProgressState | undefined;
  #drawn = false;

  constructor(context: CliContext, options: ProgressOptions) {
    this.#context = context;
    this.#unit = options.unit;
    this.#interval = context.interactive ? (options.redraw ?? 100) : (options.line ?? 10_000);
    this.#now = options.now ?? Date.now;
    this.#start = this.#now();
  }

  update(state: ProgressState): void {
    this.#first ??= state.done;
    this.#last = state;
    const now = this.#now();
    if (this.#context.json || now - this.#shown < this.#interval) return;
    this.#shown = now;
    this.#show(state, now);
  }

  /** A remark above the line. */
  note(text: string): void {
    this.#erase();
    this.#context.note(text);
  }

  /** Leaves the last state on the screen and gives the line back. */
  finish(): void {
    if (this.#last === undefined || this.#context.json) return;
    // Elsewhere than on a terminal the last state may be a line already.
    if (this.#context.interactive || this.#printed !== this.#last) this.#show(this.#last, this.#now());
    if (this.#context.interactive) this.#context.stderr.write('\n');
    this.#drawn = false;
    this.#last = undefined;
  }

  #show(state: ProgressState, now: number): void {
    this.#printed = state;
    const { done, total, fields } = state;
    const width = String(total).length;
    const counter = `${this.#unit} ${String(done).padStart(width)}/${total}`;
    const left = this.#timeLeft(state, now);
    if (!this.#context.interactive) {
      this.#context.note([counter, ...fields, left].filter((part) => part !== '').join('  '));
      return;
    }
    const filled = Math.round((BAR * Math.min(done, total)) / Math.max(1, total));
    const bar = `${'━'.repeat(filled)}${this.#context.paint.dim('─'.repeat(BAR - filled))}`;
    const columns = (this.#context.stderr as { columns?: number }).columns ?? 80;
    const parts = [counter, ...fields, left].filter((part) => part !== '');
    // The least important fields leave first on a narrow terminal: the line must not wrap.
    while (parts.length > 2 && BAR + 1 + parts.join('  ').length > columns - 1) parts.splice(-2, 1);
    this.#erase();
    this.#context.stderr.write(`${bar} ${parts.join('  ')}`);
    this.#drawn = true;
  }

  #timeLeft({ done, total }: ProgressState, now: number): string {
    const since = done - (this.#first ?? done);
    if (done >= total) return formatDuration((now - this.#start) / 1000);
    if (since <= 0) return '';
    return `${formatDuration(((now - this.#start) / since) * (total - done) * 1e-3)} left`;
  }

  #erase(): void {
    if (this.#drawn) this.#context.stderr.write('\r\u001b[2K');
    this.#drawn = false;
  }
}

/** `8 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
