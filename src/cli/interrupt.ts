import { Interrupted } from './errors.ts';

/** A pending request to stop, and the way to stop listening for it. */
export interface Interrupt {
  readonly signal: AbortSignal;
  release(): void;
}

const BY_HAND = ['SIGINT', 'SIGTERM'] as const;

/** What asks a process to stop. */
export const STOPPING = [...BY_HAND, 'SIGHUP'] as const;

/** Set to 1 for a process that is to stop with the one that started it, which holds the other end of its stdin. */
export const STOP_WITH_STDIN = 'MALLOWS_STOP_WITH_STDIN';

let asked = false;

/**
 * The first SIGINT, SIGTERM or SIGHUP aborts the signal, so that the work can stop where it may be resumed. The handler
 * is gone by then: a second one takes the system's default action, which ends the process at once, even inside a long
 * native call. `onSecond` is told before; it needs the event loop, so it is for work that leaves it free.
 */
export function watchInterrupt(onFirst: () => void, onSecond?: () => void): Interrupt {
  const controller = new AbortController();
  const ignore = (): void => {};
  const release = (): void => {
    for (const name of STOPPING) {
      for (const listener of [first, second, ignore]) process.removeListener(name, listener);
    }
  };
  const first = (): void => {
    release();
    // A terminal that goes may hang up twice, through its shell and by the kernel: nobody insists.
    process.on('SIGHUP', ignore);
    if (onSecond !== undefined) for (const name of BY_HAND) process.on(name, second);
    asked = true;
    onFirst();
    controller.abort();
  };
  const second = (name: NodeJS.Signals): void => {
    release();
    onSecond?.();
    process.kill(process.pid, name);
  };
  for (const name of STOPPING) process.on(name, first);
  return { signal: controller.signal, release };
}

/**
 * What an error is once it was asked to stop: `Interrupted` if the work ended with the signal's reason, which is what
 * `throwIfAborted` throws and what aborted calls of Node have as their cause. Any other error stays itself: a disk too
 * full for the checkpoint is news, and nothing to go on from.
 */
export function asInterrupted(error: unknown, signal: AbortSignal, message: string): unknown {
  for (let each = error; signal.aborted && each !== undefined; each = causeOf(each)) {
    if (each === signal.reason) return new Interrupted(message, { cause: error });
  }
  return error;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

/**
 * With `STOP_WITH_STDIN` set, the end of stdin is as SIGTERM, unless the process is stopping already. A pipe ends however
 * the process at its other end does, by SIGKILL too.
 */
export function stopWithStdin(): void {
  if (process.env[STOP_WITH_STDIN] !== '1') return;
  // Not for the processes that this one may start.
  delete process.env[STOP_WITH_STDIN];
  const stop = (): void => {
    if (!asked) process.kill(process.pid, 'SIGTERM');
  };
  const { stdin } = process;
  stdin.once('end', stop).once('error', stop).resume();
  // Listening is no work to stay alive for.
  stdin.unref();
}
