import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonLines } from '../../runs/index.ts';
import type { EvaluatedPair } from '../../train/evaluation.ts';
import type { PromptKl } from '../../train/preference-evaluator.ts';
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

/** Reads an evaluation's files; empty where the run kept none of that step. */
export function readHeldOut(runPath: string, step: number): HeldOutValues {
  return { ...pairValues(evaluationFile(runPath, step)), ...klValues(evaluationFile(runPath, step, '.kl')) };
}

/** Step of the last evaluation that the run kept. */
export function lastEvaluation(runPath: string): number | undefined {
  const directory = join(runPath, 'evaluations');
  if (!existsSync(directory)) return undefined;
  const steps = readdirSync(directory).flatMap((name) => {
    const step = /^step-(\d+)\.jsonl$/.exec(name)?.[1];
    return step === undefined ? [] : [Number(step)];
  });
  return steps.length === 0 ? undefined : Math.max(...steps);
}

function evaluationFile(runPath: string, step: number, suffix: '' | '.kl' = ''): string {
  return join(runPath, 'evaluations', `step-${step}${suffix}.jsonl`);
}

function pairValues(file: string): HeldOutValues {
  if (!existsSync(file)) return {};
  const rows = readJsonLines(file).records as readonly EvaluatedPair[];
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
  const margin = ({ chosenLogRatio, rejectedLogRatio }: EvaluatedPair) => chosenLogRatio! - rejectedLogRatio!;
  return {
    ...values,
    [LOG_RATIO_ACCURACY]: each((row) => (1 + Math.sign(margin(row))) / 2),
    'log_ratio/margins': each(margin),
    'log_ratio/chosen': each((row) => row.chosenLogRatio!),
    'log_ratio/rejected': each((row) => row.rejectedLogRatio!),
  };
}

function klValues(file: string): HeldOutValues {
  if (!existsSync(file)) return {};
  const rows = readJsonLines(file).records as readonly PromptKl[];
  return {
    'kl/on_policy': new Map(
      // Rounding makes a KL of nothing a little less than that.
      rows.map(({ id, prompt, kl }) => [id, { value: Math.max(0, kl), prompt: prompt ?? id }]),
    ),
  };
}
