import type { ItemGroups } from '../data/batches.ts';
import type { PackedRow } from '../data/packed.ts';
import type { CompletionStatistics } from './completions.ts';

/** What the loop itself must know of the items that it trains on. */
export interface LoopTask<Result extends ItemResults = ItemResults> {
  readonly items: number;
  /** Names an item to people. */
  id(item: number): string;
  /** Tokens an item takes in a packed row. */
  tokens(item: number): number;
  /** Items that share tokens of a row that holds them. Absent: none do. */
  groups?(): ItemGroups;
  /** What an item counts in the mean over a step: 1 for a pair, its scored tokens for a sequence. */
  weight(item: number): number;
  /** Means over any number of rows, under the names that go into `metrics.jsonl`. */
  metrics(results: readonly Result[]): Record<string, number>;
  /** Called once after each update, for objectives that carry a moving average. */
  advance?(results: readonly Result[]): void;
  /** What `advance` changes, for checkpoints. */
  state?(): Readonly<Record<string, number>>;
  restore?(state: Readonly<Record<string, number>>): void;
}

/**
 * A task of a language model: items that pack into rows, and a loss over their completions' log-probabilities.
 * Preference pairs and plain sequences are the two there are.
 */
export interface Task<Result extends ItemResults = ItemResults> extends LoopTask<Result> {
  /** Completion tokens of an item that the loss reads. */
  scoredTokens(item: number): number;
  pack(items: readonly number[]): PackedRow;
  /** Whether the loss reads Σ log Σ p². */
  readonly logSumSquares: boolean;
  /** Losses and slopes of one row's items. */
  evaluate(items: readonly number[], row: PackedRow, statistics: CompletionStatistics): Result;
}

export interface ItemResults {
  readonly items: readonly number[];
  /** Loss of each item, to be summed and divided by the summed weights. */
  readonly losses: Float64Array;
  /** ∂(Σ losses)/∂ what the head says of each completion (its logp, or its score), in the row's order. */
  readonly slopes: Float64Array;
}
