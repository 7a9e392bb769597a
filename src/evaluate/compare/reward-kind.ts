import { createObjective, type ObjectiveOptions } from '../../objectives/index.ts';

/** Rewards that are zero while the policy is its reference, so that accuracy begins at ½. */
export const RELATIVE_REWARD = 'the gain on the reference';

/** What an objective's rewards are of, in words; accuracies by rewards of one kind can be compared. */
export function rewardKind(objective: Readonly<Record<string, unknown>> | undefined): string {
  const name = typeof objective?.name === 'string' ? objective.name : 'an unnamed objective';
  return isRelative({ ...objective, name }) ? RELATIVE_REWARD : `the reward of ${name}`;
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
