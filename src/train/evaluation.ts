import type { CausalLM } from '../models/contract.ts';
import { clusterBootstrap, mean } from '../stats/index.ts';
import { evaluatePass } from './pass.ts';
import { type PreferenceResults, preferenceMetrics, win } from './preference-task.ts';
import { packByLength } from './reference.ts';
import type { ItemResults, Task } from './task.ts';

/** A held-out pair at one moment of training: a line of `evaluations/step-N.jsonl`. */
export interface EvaluatedPair {
  readonly id: string;
  /** `promptKey` of its prompt: pairs of one prompt are one piece of evidence. */
  readonly prompt: string;
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
  rowTokens?: number,
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
 * Means over held-out pairs, with 95 % bootstrap intervals over prompts for loss and accuracy (`…/low`, `…/high`). With the
 * same pairs' losses at the start, `loss_change` is the paired difference: pairs differ far more from each other than a
 * pair's loss moves, so only the paired interval can tell whether training helped.
 */
export function summarizePreferences(
  results: readonly PreferenceResults[],
  describe: (item: number) => Pick<EvaluatedPair, 'id' | 'prompt'>,
  start: readonly EvaluatedPair[] | undefined,
): PreferenceEvaluation {
  const byItem = new Map<number, EvaluatedPair>();
  for (const { items, losses, outcome, batch } of results) {
    const { chosen, rejected } = batch;
    for (const [index, item] of items.entries()) {
      byItem.set(item, {
        ...describe(item),
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
  const changes = samePairs(start, pairs)
    ? pairs.map(({ loss }, index) => loss - start[index]!.loss)
    : undefined;
  const prompts = pairs.map(({ prompt }) => prompt);
  return {
    metrics: {
      ...preferenceMetrics(results),
      ...intervalOverPrompts(
        'loss',
        pairs.map(({ loss }) => loss),
        prompts,
      ),
      ...intervalOverPrompts(
        'rewards/accuracies',
        pairs.map((pair) => pair.win),
        prompts,
      ),
      ...(changes && {
        loss_change: mean(changes),
        ...intervalOverPrompts('loss_change', changes, prompts),
      }),
    },
    pairs,
  };
}

function samePairs(
  start: readonly EvaluatedPair[] | undefined,
  pairs: readonly EvaluatedPair[],
): start is readonly EvaluatedPair[] {
  return start?.length === pairs.length && pairs.every(({ id }, index) => id === start[index]!.id);
}

/** `NAME/low` and `NAME/high`: the 95 % interval of a mean over held-out items; nothing for a single prompt. */
export function intervalOverPrompts(
  name: string,
  values: readonly number[],
  prompts: readonly unknown[],
): Record<string, number> {
  if (new Set(prompts).size < 2) return {};
  const { low, high } = clusterBootstrap(values, prompts, { resamples: 2000 });
  return { [`${name}/low`]: low, [`${name}/high`]: high };
}
