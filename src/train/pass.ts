import { type Tensor, tidy } from '../engine/index.ts';
import type { CausalLM } from '../models/contract.ts';
import { type CompletionStatistics, headPositions, spreadSlopes, sumCompletions } from './completions.ts';
import type { GradientStore } from './gradients.ts';
import { type HeadOptions, HeadPass } from './head.ts';
import type { ItemResults, Task } from './task.ts';
import { walk } from './walk.ts';

export interface PassOptions extends Pick<HeadOptions, 'chunkBytes' | 'keepBytes'> {
  /** Compute each layer again in the backward pass. Default false. */
  readonly recompute?: boolean;
}

/** What the loop asks of one pass. */
export interface PassStep<Result> {
  /** The items of one row. */
  readonly items: readonly number[];
  /** Of all items of the update. */
  readonly totalWeight: number;
  /** Where the gradient of Σ losses / `totalWeight` is added. */
  readonly gradients: GradientStore;
  /** Sees the losses before anything is added, and may throw. */
  readonly check: (result: Result) => void;
}

/** One pass through the network and what it cost. */
export interface PassResult<Result> {
  readonly result: Result;
  /** Tokens in the row. */
  readonly tokens: number;
}

/** Forward, loss and backward for the items of one row, whatever head the model has. */
export type RowPass<Result> = (step: PassStep<Result>) => PassResult<Result>;

/** The pass of a language model. */
export function languageModelPass<Result extends ItemResults>(
  model: CausalLM,
  task: Task<Result>,
  { recompute = false, ...head }: PassOptions = {},
): RowPass<Result> {
  return ({ items, totalWeight, gradients, check }) =>
    tidy(() => {
      const row = task.pack(items);
      const { rows, targets } = headPositions(row.completions);
      const way = walk(model, row, rows, { gradients: true, recompute });
      const pass = new HeadPass(model.head, way.hidden, targets, {
        ...head,
        logSumSquares: task.logSumSquares,
      });
      try {
        const result = task.evaluate(items, row, sumCompletions(row.completions, pass.statistics));
        check(result);
        const slopes = spreadSlopes(
          row.completions,
          result.slopes.map((slope) => slope / totalWeight),
        );
        const dHidden: Tensor = pass.backward(slopes, gradients);
        way.backward(dHidden, gradients);
        return { result, tokens: row.tokens.length };
      } finally {
        pass.dispose();
      }
    });
}

/** A language model's pass without gradients: losses of held-out items. */
export function evaluatePass<Result extends ItemResults>(
  model: CausalLM,
  task: Task<Result>,
  items: readonly number[],
  options: Pick<HeadOptions, 'chunkBytes'> = {},
): Result {
  return tidy(() => {
    const row = task.pack(items);
    const { rows, targets } = headPositions(row.completions);
    const { hidden } = walk(model, row, rows, { gradients: false });
    const pass = new HeadPass(model.head, hidden, targets, {
      ...options,
      keepBytes: 0,
      logSumSquares: task.logSumSquares,
    });
    pass.dispose();
    const statistics: CompletionStatistics = sumCompletions(row.completions, pass.statistics);
    return task.evaluate(items, row, statistics);
  });
}
