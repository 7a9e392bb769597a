import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TokenizedPair } from '../data/contract.ts';
import { packedLength, packPairs } from '../data/pack.ts';
import { tidy } from '../engine/index.ts';
import { MallowsError, TrainingError } from '../errors.ts';
import { contextNotice } from '../models/context-length.ts';
import type { CausalLM } from '../models/contract.ts';
import { packWeights } from '../models/packed-weights.ts';
import { JsonLinesWriter, RunLock, readJsonLines } from '../runs/index.ts';
import { sum } from '../stats/index.ts';
import { headPositions, sumCompletions } from './completions.ts';
import { HeadPass } from './head.ts';
import { walk } from './walk.ts';

/** A completion under a model. */
export interface CompletionScore {
  /** Scored tokens. */
  readonly tokens: number;
  /** Their summed log-probability, nats. */
  readonly logp: number;
  /** Mean entropy of the next-token distribution over the full vocabulary, nats a token. */
  readonly entropy: number;
}

/** A line of `mallows score`. */
export interface PairScore {
  readonly id: string;
  readonly chosen: CompletionScore;
  readonly rejected: CompletionScore;
}

export interface ScoreOptions {
  /** Tokens of a packed row. Default 2048. Other values give the same scores up to rounding. */
  readonly rowTokens?: number;
  /** Keeps finished rows on disk, so that an interrupted pass goes on where it stopped and a later one is free. */
  readonly cache?: ReferenceCache;
  /**
   * Rounds as a training pass does, so that a policy starts at exactly its reference. Otherwise bf16 weights may be read
   * from packed copies, which is faster.
   */
  readonly asTraining?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told why scores are not kept, where they should be, and of pairs that are longer than the model's context. */
  readonly notice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

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

/** Tokens of one packed row where nothing else is asked for. */
const DEFAULT_ROW_TOKENS = 2048;

/**
 * Log-probability and mean entropy of both completions of every pair, in input order: the library function behind
 * `mallows score`, and the reference pass of training. Rows are packed from pairs of similar length up to `rowTokens`.
 *
 * @throws DOMException AbortError when `signal` fires; what was scored by then stays in the cache.
 */
export async function scorePairs(
  model: CausalLM,
  pairs: readonly TokenizedPair[],
  options: ScoreOptions = {},
): Promise<PairScore[]> {
  const rowTokens = options.rowTokens ?? DEFAULT_ROW_TOKENS;
  const store = options.cache && ScoreStore.open(options.cache, rowTokens, pairs, options.notice);
  const scores: (PairScore | undefined)[] = store?.scores ?? new Array(pairs.length).fill(undefined);
  const lengths = pairs.map(packedLength);
  const asTraining = options.asTraining === true;
  const beyond = asTraining ? undefined : contextNotice(pairs.map(longestSequence), 'pairs', model.config);
  if (beyond !== undefined) options.notice?.(beyond);
  const unpack = asTraining ? undefined : packWeights(model, { tokens: sum(lengths) });
  try {
    let done = scores.filter((score) => score !== undefined).length;
    options.onProgress?.(done, pairs.length);
    for (const batch of packByLength(lengths, rowTokens)) {
      if (batch.every((index) => scores[index] !== undefined)) continue;
      options.signal?.throwIfAborted();
      const fresh = scoreRow(
        model,
        batch.map((index) => pairs[index]!),
      );
      requireFinite(fresh);
      for (const [k, index] of batch.entries()) {
        if (scores[index] !== undefined) continue;
        scores[index] = fresh[k]!;
        store?.append(index, fresh[k]!);
        done++;
      }
      store?.sync();
      options.onProgress?.(done, pairs.length);
      // Lets signals and the watcher's timers run: everything else here is synchronous.
      await new Promise(setImmediate);
    }
    store?.finish();
    return scores as PairScore[];
  } finally {
    unpack?.();
    store?.close();
  }
}

function longestSequence({ prompt, chosen, rejected }: TokenizedPair): number {
  return prompt.length + Math.max(chosen.length, rejected.length);
}

function requireFinite(scores: readonly PairScore[]): void {
  const bad = scores.filter(({ chosen, rejected }) => !isScore(chosen) || !isScore(rejected));
  if (bad.length === 0) return;
  const ids = bad.map(({ id }) => id).join(', ');
  throw new TrainingError(
    'score-not-finite',
    `The model gives scores that are not finite numbers. Rows: ${ids}.`,
    {
      hint: 'Check that the model is undamaged; if it computes in bf16 or fp16, try fp32.',
    },
  );
}

/** One forward pass over a few pairs. */
export function scoreRow(model: CausalLM, pairs: readonly TokenizedPair[]): PairScore[] {
  return tidy(() => {
    const row = packPairs(pairs);
    const { rows, targets } = headPositions(row.completions);
    const { hidden } = walk(model, row, rows, { gradients: false });
    const pass = new HeadPass(model.head, hidden, targets, { entropy: true, keepBytes: 0 });
    pass.dispose();
    const { logps, tokens, entropies } = sumCompletions(row.completions, pass.statistics);
    const sides: Record<'chosen' | 'rejected', CompletionScore>[] = pairs.map(() => ({
      chosen: NOTHING,
      rejected: NOTHING,
    }));
    for (const [index, { item, side }] of row.completions.entries()) {
      sides[item]![side] = { tokens: tokens[index]!, logp: logps[index]!, entropy: entropies![index]! };
    }
    return pairs.map(({ id }, item) => ({ id, ...sides[item]! }));
  });
}

const NOTHING: CompletionScore = { tokens: 0, logp: 0, entropy: 0 };

/**
 * Groups items into rows of at most `rowTokens`: longest first, so that memory peaks at once and not after an hour. An
 * item longer than the budget goes alone.
 */
export function packByLength(lengths: readonly number[], rowTokens = DEFAULT_ROW_TOKENS): number[][] {
  const order = lengths.map((tokens, index) => ({ index, tokens }));
  order.sort((a, b) => b.tokens - a.tokens || a.index - b.index);
  const rows: number[][] = [];
  let room = 0;
  for (const { index, tokens } of order) {
    if (tokens > room || rows.length === 0) {
      rows.push([]);
      room = rowTokens;
    }
    rows.at(-1)!.push(index);
    room -= tokens;
  }
  return rows;
}

/**
 * Scores on disk: `KEY.jsonl` once complete, `KEY.partial.jsonl` until then; a header line with the whole key, then a
 * line a pair in order of computation. A torn or foreign file is not trusted: what does not check out is computed again.
 */
class ScoreStore {
  readonly scores: (PairScore | undefined)[];
  readonly #path: string;
  readonly #partial: string;
  readonly #notice: ScoreOptions['notice'];
  #writer: JsonLinesWriter | undefined;
  #lock: RunLock | undefined;

  private constructor(path: string, scores: (PairScore | undefined)[], notice: ScoreOptions['notice']) {
    this.#path = path;
    this.#notice = notice;
    this.#partial = path.replace(/\.jsonl$/, '.partial.jsonl');
    this.scores = scores;
  }

  static open(
    cache: ReferenceCache,
    rowTokens: number,
    pairs: readonly TokenizedPair[],
    notice?: ScoreOptions['notice'],
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
    if (pairs[index]?.id !== id || !isScore(chosen) || !isScore(rejected)) return undefined;
    scores[index] = { id, chosen, rejected };
  }
  return { scores, completeBytes: lines.completeBytes };
}

function isScore(value: CompletionScore | undefined): boolean {
  return (
    value !== undefined &&
    [value.tokens, value.logp, value.entropy].every((number) => Number.isFinite(number))
  );
}
