import type { Writable } from 'node:stream';
import type { EventRecord } from './events.ts';
import { type Interrupt, watchInterrupt } from './interrupt.ts';
import { createPaint, type Paint } from './paint.ts';

/**
 * What a command may touch of the outside world. People read `note` (stderr) and `print` (stdout); programs read
 * `emit`, one JSON object a line on stdout, and then nothing else is written there.
 */
export interface CliContext {
  /** The command line, without node and the script. */
  readonly argv: readonly string[];
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Colours for stderr. */
  readonly paint: Paint;
  /** Whether stderr is a terminal that can redraw a line. */
  readonly interactive: boolean;
  /** Set by `--json`. */
  json: boolean;
  /** Set by `--debug`. */
  debug: boolean;
  /** A result for people, on stdout; with `--json` on stderr. */
  print(text: string): void;
  /** Progress and remarks for people, on stderr. */
  note(text: string): void;
  /** A result for programs (docs/json.md); nothing without `--json`. */
  emit(record: EventRecord): void;
  /** From here on the first Ctrl-C sets `signal` and a second one ends the process at once, after `onSecond`. */
  interruptible(message: string, onSecond?: () => void): Interrupt;
}

export function createContext(argv: readonly string[] = []): CliContext {
  const { stdout, stderr } = process;
  const write = (stream: Writable, text: string): void => {
    if (!stream.destroyed) stream.write(`${text}\n`);
  };
  const context: CliContext = {
    argv,
    stdout,
    stderr,
    paint: createPaint(stderr.isTTY === true, process.env),
    interactive: stderr.isTTY === true && process.env.TERM !== 'dumb' && process.env.CI === undefined,
    json: false,
    debug: process.env.MALLOWS_DEBUG === '1',
    print: (text) => write(context.json ? stderr : stdout, text),
    note: (text) => write(stderr, text),
    emit: (record) => {
      if (context.json) write(stdout, JSON.stringify(record));
    },
    interruptible: (message, onSecond) => watchInterrupt(() => context.note(message), onSecond),
  };
  return context;
}

/**
 * A reader that closes the pipe (`mallows … | head`) ends the output, not the work, and is no error. Nor is a terminal that
 * has gone, which a checkpoint is yet to be saved after.
 */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && !(error.code === 'EIO' && stream.isTTY)) throw error;
      stream.destroy();
    });
  }
}
