import type { PackedCompletion } from '../data/contract.ts';
import type { TokenStatistics } from './head.ts';

/** Sums over each completion of a packed row, in the row's order of completions. */
export interface CompletionStatistics {
  /** Σ log-probability, nats. */
  readonly logps: Float64Array;
  readonly tokens: Float64Array;
  /** Mean entropy, nats a token. */
  readonly entropies?: Float64Array;
  /** Σ log Σ_v p². */
  readonly logSumSquares?: Float64Array;
}

/** All rows that predict something, and what they predict: the completions one after another. */
export function headPositions(completions: readonly PackedCompletion[]): {
  rows: Int32Array;
  targets: Int32Array;
} {
  const length = completions.reduce((sum, { targets }) => sum + targets.length, 0);
  const rows = new Int32Array(length);
  const targets = new Int32Array(length);
  let offset = 0;
  for (const completion of completions) {
    rows.set(completion.rows, offset);
    targets.set(completion.targets, offset);
    offset += completion.targets.length;
  }
  return { rows, targets };
}

/** Adds up per-token statistics, in fp64. */
export function sumCompletions(
  completions: readonly PackedCompletion[],
  statistics: TokenStatistics,
): CompletionStatistics {
  const tokens = Float64Array.from(completions, ({ targets }) => targets.length);
  const sum = (values: Float64Array) => sumByCompletion(completions, values);
  const { logps, entropies, logSumSquares } = statistics;
  return {
    logps: sum(logps),
    tokens,
    ...(entropies && { entropies: sum(entropies).map((total, index) => total / tokens[index]!) }),
    ...(logSumSquares && { logSumSquares: sum(logSumSquares) }),
  };
}

/** Sums per-token values, in the order of `headPositions`, over each completion. */
export function sumByCompletion(
  completions: readonly PackedCompletion[],
  perToken: Float64Array,
): Float64Array {
  let offset = 0;
  return Float64Array.from(completions, ({ targets }) => {
    let total = 0;
    for (const end = offset + targets.length; offset < end; offset++) total += perToken[offset]!;
    return total;
  });
}

/** Gives every token of a completion the completion's slope: the seed of the head's backward pass. */
export function spreadSlopes(completions: readonly PackedCompletion[], slopes: Float64Array): Float64Array {
  const { rows } = headPositions(completions);
  const spread = new Float64Array(rows.length);
  let offset = 0;
  for (const [index, { targets }] of completions.entries()) {
    spread.fill(slopes[index]!, offset, offset + targets.length);
    offset += targets.length;
  }
  return spread;
}
