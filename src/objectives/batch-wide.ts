import { UsageError } from '../errors.ts';
import type { Objective } from './contract.ts';

/** How an update's pairs come: `pairs` at once, or as many as fit into `tokens`, `accumulate` times. */
export interface UpdateSize {
  readonly pairs?: number | undefined;
  readonly tokens?: number | undefined;
  readonly accumulate?: number | undefined;
}

export interface UpdateSizeProblem {
  readonly key: keyof UpdateSize;
  /** Continues `batch.KEY`. */
  readonly message: string;
}

/**
 * What an objective cannot work with. A batch-wide objective (β-DPO, AlphaDPO) takes statistics over the pairs that go
 * through the network together: over a part of an update they would be others, and over a single pair none.
 */
export function updateSizeProblems(
  { name, batchWide = false }: Pick<Objective, 'name' | 'batchWide'>,
  { pairs, tokens, accumulate = 1 }: UpdateSize,
): UpdateSizeProblem[] {
  if (!batchWide) return [];
  const problems: UpdateSizeProblem[] = [];
  if (accumulate > 1) {
    problems.push({
      key: 'accumulate',
      message: `must be 1 with '${name}', received ${accumulate}: a pair's loss depends on the other pairs of the update, so they go through the network together`,
    });
  }
  if (pairs === 1) {
    problems.push({
      key: 'pairs',
      message: `must be at least 2 with '${name}', received 1: a pair's loss depends on the other pairs of its batch`,
    });
  }
  if (tokens !== undefined) {
    problems.push({
      key: 'tokens',
      message: `cannot be used with '${name}': long pairs would be alone in their batches, and a pair's loss depends on the others; use batch.pairs`,
    });
  }
  return problems;
}

/** @throws UsageError `batch-wide-objective` when an update of this size would change what the objective is. */
export function requireUpdateSize(objective: Objective, size: UpdateSize = {}): void {
  const problems = updateSizeProblems(objective, size);
  if (problems.length === 0) return;
  throw new UsageError(
    'batch-wide-objective',
    problems.map(({ key, message }) => `batch.${key} ${message}.`).join(' '),
    {
      hint: 'Give the update in batch.pairs alone (recompute saves the memory that this takes), or choose another objective.',
    },
  );
}
