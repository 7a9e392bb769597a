import { type EvaluatedPair, type PromptKl, RunReader } from '../../runs/index.ts';
import { win } from '../../stats/summary.ts';
import type { MetricValues } from './metrics.ts';

/**
 * Share of held-out pairs whose chosen answer gained more on the reference than the rejected one, ties ½: ½ for a model
 * that has learnt nothing, under whichever objective.
 */
export const LOG_RATIO_ACCURACY = 'log_ratio/accuracies';

/** Share of held-out pairs that the objective's own reward orders rightly. Without a reference in it, so does an untrained model. */
export const REWARD_ACCURACY = 'rewards/accuracies';

/** What one evaluation measured pair by pair (KL: prompt by prompt), by the names of `metrics.jsonl`. */
export type HeldOutValues = Readonly<Record<string, MetricValues>>;

/** What a run kept of an evaluation; empty where it kept nothing of that step. */
export function readHeldOut(runPath: string, step: number): HeldOutValues {
  const run = new RunReader(runPath);
  return { ...pairValues(run.evaluation(step)), ...klValues(run.promptKls(step)) };
}

function pairValues(rows: readonly EvaluatedPair[] = []): HeldOutValues {
  if (rows.length === 0) return {};
  const each = (value: (row: EvaluatedPair) => number): MetricValues =>
    // Runs of earlier versions do not name prompts.
    new Map(rows.map((row) => [row.id, { value: value(row), prompt: row.prompt ?? row.id }]));
  const values = {
    loss: each(({ loss }) => loss),
    'rewards/chosen': each(({ chosenReward }) => chosenReward),
    'rewards/rejected': each(({ rejectedReward }) => rejectedReward),
    'rewards/margins': each(({ chosenReward, rejectedReward }) => chosenReward - rejectedReward),
    [REWARD_ACCURACY]: each(({ win }) => win),
  };
  if (!rows.every((row) => row.chosenLogRatio !== undefined && row.rejectedLogRatio !== undefined)) {
    return values;
  }
  return {
    ...values,
    [LOG_RATIO_ACCURACY]: each((row) => win(row.chosenLogRatio!, row.rejectedLogRatio!)),
    'log_ratio/margins': each((row) => row.chosenLogRatio! - row.rejectedLogRatio!),
    'log_ratio/chosen': each((row) => row.chosenLogRatio!),
    'log_ratio/rejected': each((row) => row.rejectedLogRatio!),
  };
}

function klValues(rows: readonly PromptKl[] | undefined): HeldOutValues {
  if (rows === undefined) return {};
  return {
    'kl/on_policy': new Map(
      // Rounding makes a KL of nothing a little less than that.
      rows.map(({ id, prompt, kl }) => [id, { value: Math.max(0, kl), prompt: prompt ?? id }]),
    ),
  };
}
