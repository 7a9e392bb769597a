import type { RandomStream } from '../../stats/index.ts';

/**
 * The bandit of MallowsPO, section 5.2 and Appendix C.1: five arms without context, a softmax policy that starts at zero
 * logits, a uniform reference. Rewards and divergences of a policy are exact.
 */

export const ARMS = 5;

/** What each arm pays: value and probability. */
export const ARM_REWARDS: readonly (readonly (readonly [value: number, probability: number])[])[] = [
  [
    [20, 0.5],
    [11, 0.5],
  ],
  [
    [30, 0.5],
    [3, 0.5],
  ],
  [
    [18, 0.5],
    [15, 0.5],
  ],
  [
    [15, 0.99],
    [10, 0.01],
  ],
  [
    [1, 0.99],
    [4, 0.01],
  ],
];

/** Zero-based arms. */
export interface BanditPair {
  readonly chosen: number;
  readonly rejected: number;
}

/** The paper's 16 comparisons, in its order and numbering. */
export const PAPER_PAIRS: readonly BanditPair[] = (
  [
    [3, 5],
    [2, 5],
    [2, 5],
    [1, 2],
    [3, 5],
    [1, 5],
    [1, 4],
    [1, 5],
    [4, 5],
    [2, 4],
    [2, 1],
    [2, 5],
    [1, 3],
    [3, 5],
    [3, 4],
    [4, 2],
  ] as const
).map(([chosen, rejected]) => ({ chosen: chosen - 1, rejected: rejected - 1 }));

const ARM_MEANS = ARM_REWARDS.map((outcomes) =>
  outcomes.reduce((total, [value, probability]) => total + value * probability, 0),
);

/** π · mean reward of each arm; 12.896 for the uniform policy. */
export function expectedReward(policy: ArrayLike<number>): number {
  return ARM_MEANS.reduce((total, reward, arm) => total + reward * policy[arm]!, 0);
}

/** KL(π ‖ uniform), nats. */
export function klFromUniform(policy: ArrayLike<number>): number {
  let kl = 0;
  for (let arm = 0; arm < ARMS; arm++) {
    const p = policy[arm]!;
    if (p > 0) kl += p * Math.log(ARMS * p);
  }
  return kl;
}

function drawReward(arm: number, stream: RandomStream): number {
  let rest = stream.uniform();
  const outcomes = ARM_REWARDS[arm]!;
  for (const [value, probability] of outcomes) {
    if (rest < probability) return value;
    rest -= probability;
  }
  return outcomes[outcomes.length - 1]![0];
}

/** Fresh comparisons: two different arms at random, one reward each, the higher one wins; ties are drawn again. */
export function samplePairs(count: number, stream: RandomStream): BanditPair[] {
  const pairs: BanditPair[] = [];
  while (pairs.length < count) {
    const first = stream.integer(ARMS);
    const second = (first + 1 + stream.integer(ARMS - 1)) % ARMS;
    const lead = drawReward(first, stream) - drawReward(second, stream);
    if (lead > 0) pairs.push({ chosen: first, rejected: second });
    if (lead < 0) pairs.push({ chosen: second, rejected: first });
  }
  return pairs;
}
