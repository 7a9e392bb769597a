import { type Link, logistic } from '../../objectives/links.ts';
import { mallowsPhi } from '../../objectives/mallows-phi.ts';
import type { BanditObjective } from './contract.ts';
import { ARMS, type BanditPair, expectedReward, klFromUniform } from './problem.ts';

export interface BanditRun extends BanditObjective {
  readonly pairs: readonly BanditPair[];
  readonly beta: number;
  readonly phi: number;
  readonly epochs: number;
  readonly learningRate: number;
  /** Record reward and KL every so many epochs; absent: do not. */
  readonly recordEvery?: number;
}

export interface BanditOutcome extends BanditObjective {
  readonly beta: number;
  /** Mean over the last 30 epochs. */
  readonly policy: readonly number[];
  readonly reward: number;
  readonly kl: number;
  /** The policy's reward and KL every `recordEvery` epochs. */
  readonly trajectory?: { readonly reward: readonly number[]; readonly kl: readonly number[] };
}

/** The policy of a run is its mean over this many last epochs (Appendix C.1). */
const AVERAGED_EPOCHS = 30;

function softmaxInto(policy: Float64Array, logits: Float64Array): void {
  const top = Math.max(...logits);
  let total = 0;
  for (let arm = 0; arm < ARMS; arm++) {
    const value = Math.exp(logits[arm]! - top);
    policy[arm] = value;
    total += value;
  }
  for (let arm = 0; arm < ARMS; arm++) policy[arm] = policy[arm]! / total;
}

interface CountedPairs {
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
  /** Share of the batch. */
  readonly share: Float64Array;
}

/** Equal comparisons have equal slopes: 16 pairs become 11. */
function countPairs(pairs: readonly BanditPair[]): CountedPairs {
  const counts = new Map<number, number>();
  for (const { chosen, rejected } of pairs) {
    const key = chosen * ARMS + rejected;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const keys = [...counts.keys()];
  return {
    chosen: Int32Array.from(keys, (key) => Math.floor(key / ARMS)),
    rejected: Int32Array.from(keys, (key) => key % ARMS),
    share: Float64Array.from(counts.values(), (count) => count / pairs.length),
  };
}

interface BanditLink {
  readonly link: Link;
  /** Multiplies β: 2t in MallowsPO-θ (Eq. 8), else 1. */
  readonly factor: number;
}

function linkOf({ objective, smoothing }: BanditObjective, t: number): BanditLink {
  switch (objective) {
    case 'dpo':
      return { link: logistic, factor: 1 };
    case 'mallows-theta':
      return { link: logistic, factor: 2 * t };
    case 'mallows-phi':
      return { link: mallowsPhi({ smoothing: smoothing ?? 'raw' }), factor: 1 };
    default:
      return objective satisfies never;
  }
}

/**
 * Full-batch gradient descent on the mean loss, in fp64. With a softmax policy and a uniform reference the log-ratio gap
 * of two arms is the difference of their logits, and its gradient is +1 on the chosen logit and −1 on the rejected one:
 * the softmax itself is needed only where the policy is looked at.
 */
export function trainBandit(run: BanditRun): BanditOutcome {
  const { beta, epochs, learningRate, recordEvery } = run;
  const t = -Math.log(run.phi);
  const { link, factor } = linkOf(run, t);
  const { chosen, rejected, share } = countPairs(run.pairs);
  const scale = beta * factor;
  const step = learningRate * scale;
  const logits = new Float64Array(ARMS);
  const gradient = new Float64Array(ARMS);
  const policy = new Float64Array(ARMS);
  const mean = new Float64Array(ARMS);
  const averaged = Math.min(AVERAGED_EPOCHS, epochs);
  const trajectory: { reward: number[]; kl: number[] } = { reward: [], kl: [] };

  for (let epoch = 1; epoch <= epochs; epoch++) {
    gradient.fill(0);
    for (let pair = 0; pair < share.length; pair++) {
      const winner = chosen[pair]!;
      const loser = rejected[pair]!;
      const slope = share[pair]! * link.slope(scale * (logits[winner]! - logits[loser]!), t);
      gradient[winner] = gradient[winner]! + slope;
      gradient[loser] = gradient[loser]! - slope;
    }
    for (let arm = 0; arm < ARMS; arm++) logits[arm] = logits[arm]! - step * gradient[arm]!;

    const last = epoch > epochs - averaged;
    const recorded = recordEvery !== undefined && epoch % recordEvery === 0;
    if (last || recorded) softmaxInto(policy, logits);
    if (last) for (let arm = 0; arm < ARMS; arm++) mean[arm] = mean[arm]! + policy[arm]! / averaged;
    if (recorded) {
      trajectory.reward.push(expectedReward(policy));
      trajectory.kl.push(klFromUniform(policy));
    }
  }
  return {
    objective: run.objective,
    smoothing: run.smoothing,
    beta,
    policy: [...mean],
    reward: expectedReward(mean),
    kl: klFromUniform(mean),
    ...(recordEvery !== undefined && { trajectory }),
  };
}
