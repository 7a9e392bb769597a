import type { CausalLM } from '../models/contract.ts';
import { bootstrap, type Interval } from '../stats/index.ts';
import { evaluatePass } from './pass.ts';
import { type PreferenceResults, preferenceMetrics, win } from './preference-task.ts';
import { packByLength } from './reference.ts';
import type { ItemResults, Task } from './task.ts';

/** A held-out pair at one moment of training: a line of `evaluations/step-N.jsonl`. */
export interface EvaluatedPair {
  readonly id: string;
  readonly loss: number;
  /** 1 when chosen has the higher reward, ½ for a tie. */
  readonly win: number;
  readonly chosenReward: number;
  readonly rejectedReward: number;
  /** log π − log π_ref of each completion, nats; absent without a reference. Unlike rewards, comparable across objectives. */
  readonly chosenLogRatio?: number;
  readonly rejectedLogRatio?: number;
}

/** Losses of all items without gradients, rows packed from items of similar length. */
export async function evaluateTask<Result extends ItemResults>(
  model: CausalLM,
  task: Task<Result>,
  rowTokens = 2048,
): Promise<Result[]> {
  const lengths = Array.from({ length: task.items }, (_, item) => task.tokens(item));
  const results: Result[] = [];
  for (const items of packByLength(lengths, rowTokens)) {
    results.push(evaluatePass(model, task, items));
    await new Promise(setImmediate);
  }
  return results;
}

export interface PreferenceEvaluation {
  readonly metrics: Readonly<Record<string, number>>;
  /** In the data's order. */
  readonly pairs: readonly EvaluatedPair[];
}

/**
 * Means over held-out pairs, with 95 % bootstrap intervals over pairs for loss and accuracy (`…/low`, `…/high`). With the
 * pairs' losses at the start, `loss_change` is the paired difference: pairs differ far more from each other than a
 * pair's loss moves, so only the paired interval can tell whether training helped.
 */
export function summarizePreferences(
  results: readonly PreferenceResults[],
  idOf: (item: number) => string,
  start: readonly EvaluatedPair[] | undefined,
): PreferenceEvaluation {
  const byItem = new Map<number, EvaluatedPair>();
  for (const { items, losses, outcome, batch } of results) {
    const { chosen, rejected } = batch;
    for (const [index, item] of items.entries()) {
      byItem.set(item, {
        id: idOf(item),
        loss: losses[index]!,
        win: win(outcome, index),
        chosenReward: outcome.chosenRewards[index]!,
        rejectedReward: outcome.rejectedRewards[index]!,
        ...(chosen.referenceLogps &&
          rejected.referenceLogps && {
            chosenLogRatio: chosen.logps[index]! - chosen.referenceLogps[index]!,
            rejectedLogRatio: rejected.logps[index]! - rejected.referenceLogps[index]!,
          }),
      });
    }
  }
  const pairs = [...byItem].sort(([a], [b]) => a - b).map(([, pair]) => pair);
  const changes = start && pairs.map(({ loss }, index) => loss - start[index]!.loss);
  return {
    metrics: {
      ...preferenceMetrics(results),
      ...interval(
        'loss',
        pairs.map(({ loss }) => loss),
      ),
      ...interval(
        'rewards/accuracies',
        pairs.map((pair) => pair.win),
      ),
      ...(changes && {
        loss_change: changes.reduce((sum, change) => sum + change, 0) / changes.length,
        ...interval('loss_change', changes),
      }),
    },
    pairs,
  };
}

function interval(name: string, values: readonly number[]): Record<string, number> {
  if (values.length < 2) return {};
  const { low, high }: Interval = bootstrap(values, { resamples: 2000 });
  return { [`${name}/low`]: low, [`${name}/high`]: high };
}
