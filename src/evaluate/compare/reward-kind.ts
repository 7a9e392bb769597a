import { createObjective, type ObjectiveOptions } from '../../objectives/index.ts';
import { REWARD_ACCURACY } from './held-out.ts';

/** Rewards that are zero while the policy is its reference, so that accuracy begins at ½. */
export const RELATIVE_REWARD = 'the gain on the reference';

/** What an objective's rewards are of, in words; accuracies by rewards of one kind can be compared. */
export function rewardKind(objective: Readonly<Record<string, unknown>> | undefined): string {
  const name = typeof objective?.name === 'string' ? objective.name : 'an unnamed objective';
  return isRelative({ ...objective, name }) ? RELATIVE_REWARD : `the reward of ${name}`;
}

/** Held-out metrics in an objective's own units, and what is made of them. */
const OWN_UNITS = /^(loss|loss_change|rewards\/(chosen|rejected|margins))(\/|$)/;

/**
 * What a held-out metric goes by under an objective, in words: only where that is the same do its values compare. Accuracies
 * by rewards go by the kind of reward, losses and rewards by the objective with all its coefficients. Undefined: it is alike
 * for all objectives.
 */
export function metricScale(
  metric: string,
  objective: Readonly<Record<string, unknown>> | undefined,
): string | undefined {
  if (metric.startsWith(REWARD_ACCURACY)) return rewardKind(objective);
  if (!OWN_UNITS.test(metric)) return undefined;
  const { name, ...coefficients } = { name: 'an unnamed objective', ...objective };
  const words = Object.entries(coefficients).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  return words.length === 0 ? name : `${name} with ${words.join(', ')}`;
}

/** Asks the objective itself, with a pair of which policy and reference think alike. */
function isRelative(options: ObjectiveOptions): boolean {
  const one = (value: number) => Float64Array.of(value);
  const side = {
    logps: one(-2),
    referenceLogps: one(-2),
    tokens: one(2),
    extras: { logSumSquares: one(-2) },
  };
  try {
    const { chosenRewards } = createObjective(options).evaluate({
      chosen: side,
      rejected: side,
      scoreGaps: one(1),
    });
    return chosenRewards[0] === 0;
  } catch {
    // An objective of one's own is no preset; its rewards are known to nobody else.
    return false;
  }
}
