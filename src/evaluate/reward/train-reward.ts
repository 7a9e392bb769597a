import { promptKey } from '../../data/index.ts';
import { intervalOverPrompts } from '../../stats/bootstrap.ts';
import { win } from '../../stats/summary.ts';
import { type PairSources, readPairRows, tokenizePairRows } from '../../train/preference-data.ts';
import type { ScorerOptions, ScorerResult } from './options.ts';
import { RewardTask } from './reward-task.ts';
import { trainScorer } from './train-scorer.ts';

/** Options of a reward model's training, with the meanings that they have for preference tuning. */
export interface RewardOptions extends PairSources, ScorerOptions {
  /** Weight of (r_w + r_l)², which keeps rewards about zero. Default 0.01. */
  readonly centering?: number;
}

export type RewardResult = ScorerResult;

/**
 * Trains a Bradley–Terry reward model on preference pairs: a sequence classifier with one label, saved as a directory
 * that transformers' AutoModelForSequenceClassification loads. The same loop as preference tuning, so it checkpoints,
 * resumes and logs the same way.
 */
export async function trainReward(options: RewardOptions): Promise<RewardResult> {
  const { centering = 0.01 } = options;
  return trainScorer(options, async (session) => {
    const rows = await readPairRows(options, session);
    const { train, heldOut, facts } = await tokenizePairRows(rows, options, session);
    const task = new RewardTask(session.model, train.tokens, centering);
    const prompts = heldOut.examples.map(({ prompt }) => promptKey(prompt));
    const heldOutTask = new RewardTask(session.model, heldOut.tokens, centering);
    return {
      task,
      ...(heldOutTask.items > 0 && {
        evaluate: (signal?: AbortSignal) => evaluateReward(heldOutTask, prompts, signal),
      }),
      facts,
      objective: 'bradley-terry',
      label: 'reward',
      accuracy: 'rewards/accuracies',
    };
  });
}

/** Held-out loss, accuracy with its 95 % interval over prompts (`prompts[item]` names an item's), and margins. */
async function evaluateReward(
  task: RewardTask,
  prompts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Record<string, number>> {
  const results = await task.evaluateAll(signal);
  const wins = results.flatMap(({ items, chosenScores, rejectedScores }) =>
    items.map((_, i) => win(chosenScores[i]!, rejectedScores[i]!)),
  );
  const promptOfWins = results.flatMap(({ items }) => items.map((item) => prompts[item]!));
  return { ...task.metrics(results), ...intervalOverPrompts('rewards/accuracies', wins, promptOfWins) };
}
