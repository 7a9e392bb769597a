import { packByLength } from '../data/pack.ts';
import type { CausalLM } from '../models/contract.ts';
import type { EvaluatedPair, PairLogps } from '../runs/index.ts';
import { intervalOverPrompts } from '../stats/bootstrap.ts';
import { mean } from '../stats/index.ts';
import { win } from '../stats/summary.ts';
import { evaluatePass } from './pass.ts';
import { type PreferenceResults, preferenceMetrics } from './preference-task.ts';
import type { ItemResults, Task } from './task.ts';

export interface EvaluateOptions {
  /** Tokens of a packed row. */
  readonly rowTokens?: number;
  /** Stops between two rows by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Losses of all items without gradients, rows packed from items of similar length. */
export async function evaluateTask<Result extends ItemResults>(
  model: CausalLM,
  task: Task<Result>,
  { rowTokens, signal }: EvaluateOptions = {},
): Promise<Result[]> {
  const lengths = Array.from({ length: task.items }, (_, item) => task.tokens(item));
  const results: Result[] = [];
  for (const items of packByLength(lengths, rowTokens)) {
    results.push(evaluatePass(model, task, items));
    await new Promise(setImmediate);
    signal?.throwIfAborted();
  }
  return results;
}

/** What is known of the held-out pairs' start. */
export interface EvaluationStart {
  /** Their evaluation then; absent at the start itself. */
  readonly pairs?: readonly EvaluatedPair[] | undefined;
  /**
   * In the data's order, the reference of objectives that have none: the model before training. Absent where the objective has
   * its reference.
   */
  readonly logps?: readonly PairLogps[] | undefined;
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
  { pairs: start, logps: startLogps }: EvaluationStart = {},
): PreferenceEvaluation {
  const byItem = new Map<number, EvaluatedPair>();
  for (const { items, losses, outcome, batch } of results) {
    const { chosen, rejected } = batch;
    for (const [index, item] of items.entries()) {
      const atStart = startLogps?.[item];
      const reference = {
        chosen: chosen.referenceLogps?.[index] ?? atStart?.chosen.logp,
        rejected: rejected.referenceLogps?.[index] ?? atStart?.rejected.logp,
      };
      byItem.set(item, {
        ...describe(item),
        loss: losses[index]!,
        win: win(outcome.chosenRewards[index]!, outcome.rejectedRewards[index]!),
        chosenReward: outcome.chosenRewards[index]!,
        rejectedReward: outcome.rejectedRewards[index]!,
        ...(reference.chosen !== undefined &&
          reference.rejected !== undefined && {
            chosenLogRatio: chosen.logps[index]! - reference.chosen,
            rejectedLogRatio: rejected.logps[index]! - reference.rejected,
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
      ...(startLogps && meanLogRatios(pairs)),
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

/** As `preferenceMetrics` has them, also where the objective has no reference. */
function meanLogRatios(pairs: readonly EvaluatedPair[]): Record<string, number> {
  const chosen = pairs.flatMap(({ chosenLogRatio: ratio }) => (ratio === undefined ? [] : [ratio]));
  const rejected = pairs.flatMap(({ rejectedLogRatio: ratio }) => (ratio === undefined ? [] : [ratio]));
  if (pairs.length === 0 || chosen.length < pairs.length) return {};
  return { 'log_ratio/chosen': mean(chosen), 'log_ratio/rejected': mean(rejected) };
}

/** Whether records of the start are those of these pairs. */
export function samePairs<Start extends { readonly id: string }>(
  start: readonly Start[] | undefined,
  pairs: readonly { readonly id: string }[],
): start is readonly Start[] {
  return start?.length === pairs.length && pairs.every(({ id }, index) => id === start[index]!.id);
}
