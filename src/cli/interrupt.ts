/** A pending request to stop, and the way to stop listening for it. */
export interface Interrupt {
  readonly signal: AbortSignal;
  release(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * The first SIGINT or SIGTERM aborts the signal, so that the work can stop where it may be resumed. The handler is gone
 * by then: a second one takes the system's default action, which ends the process at once, even inside a long native
 * call.
 */
export function watchInterrupt(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  const release = (): void => {
    for (const name of SIGNALS) process.removeListener(name, handle);
  };
  const handle = (name: NodeJS.Signals): void => {
    release();
    onFirst();
    controller.abort(name);
  };
  for (const name of SIGNALS) process.on(name, handle);
  return { signal: controller.signal, release };
}
