import type { TokenizedPair } from '../data/contract.ts';
import { DEFAULT_ROW_TOKENS, packByLength, packedLength, packPairs } from '../data/pack.ts';
import { tidy } from '../engine/index.ts';
import { TrainingError } from '../errors.ts';
import { contextNotice } from '../models/context-length.ts';
import type { CausalLM } from '../models/contract.ts';
import { beginReading } from '../models/in-use.ts';
import { packWeights } from '../models/packed-weights.ts';
import type { CompletionScore, PairScore } from '../runs/index.ts';
import { sum } from '../stats/index.ts';
import { headPositions, sumCompletions } from './completions.ts';
import { HeadPass } from './head.ts';
import { isFiniteScore, type ReferenceCache, ScoreStore } from './score-store.ts';
import { walk } from './walk.ts';

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

/**
 * Log-probability and mean entropy of both completions of every pair, in input order: the library function behind
 * `mallows score`, and the reference pass of training. Rows are packed from pairs of similar length up to `rowTokens`.
 *
 * @throws DOMException AbortError when `signal` fires; what was scored by then stays in the cache. UsageError `model-in-use`
 * where someone else trains the model.
 */
export async function scorePairs(
  model: CausalLM,
  pairs: readonly TokenizedPair[],
  options: ScoreOptions = {},
): Promise<PairScore[]> {
  const tokens = sum(pairs.map(packedLength));
  const endReading = options.asTraining === true ? beginReading(model) : packWeights(model, { tokens });
  try {
    return await scoreAndKeep(model, pairs, options);
  } finally {
    endReading();
  }
}

async function scoreAndKeep(
  model: CausalLM,
  pairs: readonly TokenizedPair[],
  options: ScoreOptions,
): Promise<PairScore[]> {
  const rowTokens = options.rowTokens ?? DEFAULT_ROW_TOKENS;
  const store = options.cache && ScoreStore.open(options.cache, rowTokens, pairs, options.notice);
  try {
    const scores: (PairScore | undefined)[] = store?.scores ?? new Array(pairs.length).fill(undefined);
    if (options.asTraining !== true) noteLongPairs(model, pairs, options.notice);
    let done = scores.filter((score) => score !== undefined).length;
    options.onProgress?.(done, pairs.length);
    for (const batch of packByLength(pairs.map(packedLength), rowTokens)) {
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
    store?.close();
  }
}

function noteLongPairs(
  model: CausalLM,
  pairs: readonly TokenizedPair[],
  notice: ScoreOptions['notice'],
): void {
  const beyond = contextNotice(pairs.map(longestSequence), 'pairs', model.config);
  if (beyond !== undefined) notice?.(beyond);
}

function longestSequence({ prompt, chosen, rejected }: TokenizedPair): number {
  return prompt.length + Math.max(chosen.length, rejected.length);
}

function requireFinite(scores: readonly PairScore[]): void {
  const bad = scores.filter(({ chosen, rejected }) => !isFiniteScore(chosen) || !isFiniteScore(rejected));
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
