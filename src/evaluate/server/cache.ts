import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { hashValues } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import { JsonLinesWriter, RunLock, readJsonLines } from '../../runs/index.ts';

interface Entry {
  /** SHA-256 of the canonical request. */
  readonly key: string;
  readonly response: unknown;
}

/**
 * Answers that were paid for, on disk: an append-only JSONL file, flushed after each entry, keyed by the request's
 * hash. A process that was killed leaves at most a torn last line, which is cut. One process at a time.
 */
export class ResponseCache {
  readonly path: string;
  readonly #lock: RunLock;
  readonly #writer: JsonLinesWriter;
  readonly #entries = new Map<string, unknown>();
  #hits = 0;

  private constructor(path: string, lock: RunLock) {
    this.path = path;
    this.#lock = lock;
    let bytes = 0;
    if (existsSync(path)) {
      const { records, completeBytes } = readJsonLines(path);
      for (const { key, response } of records as Entry[]) this.#entries.set(key, response);
      bytes = completeBytes;
    }
    this.#writer = new JsonLinesWriter(path, bytes);
  }

  static open(path: string): ResponseCache {
    mkdirSync(dirname(path), { recursive: true });
    let lock: RunLock;
    try {
      lock = RunLock.acquire(`${path}.lock`);
    } catch (cause) {
      if (!(cause instanceof UsageError)) throw cause;
      throw new UsageError('cache-in-use', `Another process is using the cache ${path}.`, {
        cause,
        hint: `If there is none, delete ${path}.lock; else wait for it, or choose another file.`,
      });
    }
    try {
      return new ResponseCache(path, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** How often it had what was asked for. */
  get hits(): number {
    return this.#hits;
  }

  get(request: unknown): unknown {
    const response = this.#entries.get(requestKey(request));
    if (response !== undefined) this.#hits++;
    return response;
  }

  put(request: unknown, response: unknown): void {
    const key = requestKey(request);
    if (this.#entries.has(key)) return;
    this.#writer.append({ key, response } satisfies Entry);
    this.#writer.sync();
    this.#entries.set(key, response);
  }

  close(): void {
    this.#writer.close();
    this.#lock.release();
  }
}

/** Hash of a request, whatever the order of its fields. */
export function requestKey(request: unknown): string {
  return hashValues([request]);
}
