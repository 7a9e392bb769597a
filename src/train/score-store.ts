import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TokenizedPair } from '../data/contract.ts';
import { DEFAULT_ROW_TOKENS } from '../data/pack.ts';
import { MallowsError } from '../errors.ts';
import {
  type CompletionScore,
  JsonLinesWriter,
  type PairScore,
  RunLock,
  readJsonLines,
} from '../runs/index.ts';

/** Where scores are kept, and everything they depend on. */
export interface ReferenceCache {
  readonly directory: string;
  readonly key: ReferenceKey;
}

export interface ReferenceKey {
  /** Hash of the model's weights and configuration. */
  readonly model: string;
  /** Hash of the pairs. */
  readonly data: string;
  readonly maxLength: number;
  readonly dtype: string;
  /** `rounding` of the engine: a policy starts at its reference only if both were computed alike. */
  readonly rounding: string;
}

/** Told why scores are not kept. */
type Notice = (message: string) => void;

/**
 * Scores on disk: `KEY.jsonl` once complete, `KEY.partial.jsonl` until then; a header line with the whole key, then a
 * line a pair in order of computation. A torn or foreign file is not trusted: what does not check out is computed again.
 */
export class ScoreStore {
  readonly scores: (PairScore | undefined)[];
  readonly #path: string;
  readonly #partial: string;
  readonly #notice: Notice | undefined;
  #writer: JsonLinesWriter | undefined;
  #lock: RunLock | undefined;

  private constructor(path: string, scores: (PairScore | undefined)[], notice: Notice | undefined) {
    this.#path = path;
    this.#notice = notice;
    this.#partial = path.replace(/\.jsonl$/, '.partial.jsonl');
    this.scores = scores;
  }

  static open(
    cache: ReferenceCache,
    rowTokens: number,
    pairs: readonly TokenizedPair[],
    notice?: Notice,
  ): ScoreStore {
    const path = referencePath(cache, rowTokens);
    const header = { ...cache.key, rowTokens, pairs: pairs.length };
    const store = new ScoreStore(path, new Array(pairs.length).fill(undefined), notice);
    store.#attempt(() => store.#open(header, pairs));
    return store;
  }

  #open(header: object, pairs: readonly TokenizedPair[]): void {
    const complete = existsSync(this.#path) ? readScores(this.#path, header, pairs) : undefined;
    if (complete?.scores.every((score) => score !== undefined)) {
      this.#take(complete.scores);
      return;
    }
    mkdirSync(dirname(this.#path), { recursive: true });
    const lock = this.#path.replace(/\.jsonl$/, '.lock');
    try {
      this.#lock = RunLock.acquire(lock);
    } catch (error) {
      // Another process computes the same scores right now: compute ours without a file rather than wait for it.
      if (!(error instanceof MallowsError && error.code === 'run-locked')) throw error;
      this.#notice?.(
        `These reference scores are not kept: another process seems to compute the same ones. If none does, delete ${lock}.`,
      );
      return;
    }
    const partial = existsSync(this.#partial) ? readScores(this.#partial, header, pairs) : undefined;
    this.#writer = new JsonLinesWriter(this.#partial, partial?.completeBytes ?? 0);
    if (partial === undefined) this.#writer.append(header);
    else this.#take(partial.scores);
  }

  #take(scores: readonly (PairScore | undefined)[]): void {
    for (const [index, score] of scores.entries()) this.scores[index] = score;
  }

  append(index: number, score: PairScore): void {
    this.#attempt(() => this.#writer?.append({ index, ...score }));
  }

  sync(): void {
    this.#attempt(() => this.#writer?.sync());
  }

  finish(): void {
    this.#attempt(() => {
      if (this.#writer === undefined) return;
      this.#closeWriter();
      renameSync(this.#partial, this.#path);
    });
  }

  close(): void {
    this.#attempt(() => this.#closeWriter());
    this.#attempt(() => this.#lock?.release());
  }

  #closeWriter(): void {
    const writer = this.#writer;
    this.#writer = undefined;
    writer?.close();
  }

  /** A cache that cannot be written (read-only, full, no directory) costs the scores' keeping, not the run. */
  #attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!isFileSystemError(error)) throw error;
      this.#writer = undefined;
      this.#notice?.(`These reference scores are not kept: ${error.message}.`);
    }
  }
}

function isFileSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}

/** File of a key's scores. */
export function referencePath({ directory, key }: ReferenceCache, rowTokens = DEFAULT_ROW_TOKENS): string {
  const { model, data, maxLength, dtype, rounding } = key;
  const text = JSON.stringify([3, model, data, maxLength, dtype, rounding, rowTokens]);
  return join(directory, `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.jsonl`);
}

function readScores(
  path: string,
  header: object,
  pairs: readonly TokenizedPair[],
): { scores: (PairScore | undefined)[]; completeBytes: number } | undefined {
  let lines: ReturnType<typeof readJsonLines>;
  try {
    lines = readJsonLines(path);
  } catch (error) {
    if (error instanceof MallowsError) return undefined;
    throw error;
  }
  const [first, ...records] = lines.records;
  if (JSON.stringify(first) !== JSON.stringify(header)) return undefined;
  const scores: (PairScore | undefined)[] = new Array(pairs.length).fill(undefined);
  for (const record of records as (PairScore & { index: number })[]) {
    const { index, id, chosen, rejected } = record;
    if (pairs[index]?.id !== id || !isFiniteScore(chosen) || !isFiniteScore(rejected)) return undefined;
    scores[index] = { id, chosen, rejected };
  }
  return { scores, completeBytes: lines.completeBytes };
}

export function isFiniteScore(value: CompletionScore | undefined): boolean {
  return (
    value !== undefined &&
    [value.tokens, value.logp, value.entropy].every((number) => Number.isFinite(number))
  );
}
