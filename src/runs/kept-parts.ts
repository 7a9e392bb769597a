import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { canonicalJson } from '../data/hash.ts';
import { UsageError } from '../errors.ts';
import { JsonLinesWriter, readJsonLines } from './jsonl.ts';
import { RunLock } from './lock.ts';

/** What is found where parts are kept, for whoever wants to say it. */
export interface KeptPartsNotice {
  /** So many items have their results already. */
  readonly onKept?: (items: number) => void;
  /** What is there was computed with other settings, and is given up. */
  readonly onOther?: () => void;
}

/**
 * Results of a long computation's items, in order, kept part by part as they come, so that one that was stopped goes on
 * after the last whole part. The file's first line says what they depend on, every other one is a part. Parts begin where
 * they would have begun without the interruption: what depends on the items computed together is the same.
 */
export class KeptParts {
  readonly #path: string | undefined;
  readonly #settings: unknown;
  readonly #notice: KeptPartsNotice;

  /** Without a path nothing is kept. */
  constructor(path: string | undefined, settings: unknown, notice: KeptPartsNotice = {}) {
    this.#path = path;
    this.#settings = settings;
    this.#notice = notice;
  }

  /** The results of all items, `size` items at a time; `compute` is told how many items came before. */
  async collect<Item, Result>(
    items: readonly Item[],
    size: number,
    compute: (part: readonly Item[], before: number) => Promise<readonly Result[]>,
  ): Promise<Result[]> {
    const file = this.#path === undefined ? undefined : this.#open<Result>(this.#path, size);
    try {
      const results = file?.results ?? [];
      while (results.length < items.length) {
        const before = results.length;
        const part = await compute(items.slice(before, before + size), before);
        file?.writer.append(part);
        file?.writer.sync();
        for (const result of part) results.push(result);
      }
      return results;
    } finally {
      file?.writer.close();
      file?.lock.release();
    }
  }

  /** What is there of these settings; the lock keeps other processes from writing between its lines. */
  #open<Result>(path: string, size: number): { writer: JsonLinesWriter; lock: RunLock; results: Result[] } {
    mkdirSync(dirname(path), { recursive: true });
    const lock = acquire(`${path}.lock`, path);
    try {
      const header = canonicalJson(JSON.parse(JSON.stringify({ size, settings: this.#settings })));
      const found = existsSync(path) ? readJsonLines(path) : { records: [], completeBytes: 0 };
      const [first, ...parts] = found.records;
      const same = first !== undefined && canonicalJson(first) === header;
      if (!same && parts.length > 0) this.#notice.onOther?.();
      const writer = new JsonLinesWriter(path, same ? found.completeBytes : 0);
      if (!same) writer.append(JSON.parse(header));
      const results = same ? (parts as Result[][]).flat(1) : [];
      if (results.length > 0) this.#notice.onKept?.(results.length);
      return { writer, lock, results: results as Result[] };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Once the results are elsewhere. */
  remove(): void {
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
  }
}

function acquire(lock: string, path: string): RunLock {
  try {
    return RunLock.acquire(lock);
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError('parts-in-use', `Another process is writing ${path}.`, {
      cause,
      hint: `Wait for it, or choose another output. If there is none, delete ${lock}.`,
    });
  }
}
