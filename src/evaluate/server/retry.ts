/** A failure that another attempt may cure. */
export class TransientFailure extends Error {
  /** Milliseconds that the server asked to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(message, { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
  }
}

export interface RetryOptions {
  /** Attempts after the first. */
  readonly retries: number;
  /** Upper bound of the first wait; it doubles with each attempt. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Once it fires, nothing is attempted or waited for; what is under way ends by itself. */
  readonly signal?: AbortSignal | undefined;
  /** Told before each wait. */
  readonly onRetry?: ((failure: TransientFailure, attempt: number, delayMs: number) => void) | undefined;
}

/**
 * Runs `attempt` until it succeeds, fails for good (anything but `TransientFailure`) or runs out of retries; then the
 * last failure is thrown. Waits are exponential with half of each drawn at random, so that callers that failed
 * together do not come back together. A server's Retry-After is a lower bound, also past `maxDelayMs`.
 */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 0; ; failures++) {
    options.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransientFailure) || failures >= options.retries) throw error;
      options.signal?.throwIfAborted();
      const bound = Math.min(options.maxDelayMs, options.firstDelayMs * 2 ** failures);
      const jittered = bound * (0.5 + 0.5 * Math.random());
      const delay = Math.max(jittered, error.retryAfterMs ?? 0);
      options.onRetry?.(error, failures + 1, delay);
      await sleep(delay, options.signal);
    }
  }
}

/** `Retry-After` in seconds or as an HTTP date, and OpenAI's `retry-after-ms`; in milliseconds from `now`. */
export function retryAfter(headers: Headers, now = Date.now()): number | undefined {
  const milliseconds = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (milliseconds >= 0) return milliseconds;
  const value = headers.get('retry-after');
  if (value === null) return undefined;
  const wait = /^\s*\d+(\.\d+)?\s*$/.test(value) ? 1000 * Number(value) : Date.parse(value) - now;
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
