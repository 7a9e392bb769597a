/**
 * A link turns the scaled margin z of a pair into a loss that falls as z grows. Scalars in, scalars out: the same code
 * serves a batch of language-model pairs and the bandit's 500,000 epochs.
 */
export interface Link {
  readonly name: string;
  /** Loss at scaled margin `z`; `t` = −log φ(x) > 0, which only the Mallows-φ link reads. */
  loss(z: number, t: number): number;
  /** ∂loss/∂z */
  slope(z: number, t: number): number;
}

/** log σ(z), without overflow on either side. */
export function logSigmoid(z: number): number {
  return z >= 0 ? -Math.log1p(Math.exp(-z)) : z - Math.log1p(Math.exp(z));
}

export function sigmoid(z: number): number {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const e = Math.exp(z);
  return e / (1 + e);
}

/** Beyond e^50 a loss says no more than "very wrong": continue in a straight line, so that nothing overflows. */
const EXP_LIMIT = 50;

/** e^x up to x = 50, then its tangent. */
export function boundedExp(x: number): number {
  return x <= EXP_LIMIT ? Math.exp(x) : Math.exp(EXP_LIMIT) * (1 + x - EXP_LIMIT);
}

/** Derivative of `boundedExp`. */
export function boundedExpSlope(x: number): number {
  return Math.exp(Math.min(x, EXP_LIMIT));
}

/** −log σ(z): Bradley–Terry, DPO (Eq. 4) and MallowsPO-θ (Eq. 8). */
export const logistic: Link = {
  name: 'logistic',
  loss: (z) => -logSigmoid(z),
  slope: (z) => -sigmoid(-z),
};

/** −(1−ε) log σ(z) − ε log σ(−z): labels flipped with probability ε, conservative DPO. */
export function labelSmoothed(epsilon: number): Link {
  return {
    name: 'label-smoothed',
    loss: (z) => -(1 - epsilon) * logSigmoid(z) - epsilon * logSigmoid(-z),
    slope: (z) => epsilon * sigmoid(z) - (1 - epsilon) * sigmoid(-z),
  };
}

/** [−(1−ε) log σ(z) + ε log σ(−z)] / (1−2ε): unbiased under flips, robust DPO (Chowdhury et al. 2024). */
export function robust(epsilon: number): Link {
  return {
    name: 'robust',
    loss: (z) => (-(1 - epsilon) * logSigmoid(z) + epsilon * logSigmoid(-z)) / (1 - 2 * epsilon),
    slope: (z) => (-(1 - epsilon) * sigmoid(-z) - epsilon * sigmoid(z)) / (1 - 2 * epsilon),
  };
}

/** (z − target)²: IPO (Azar et al. 2023). */
export function squared(target: number): Link {
  return {
    name: 'squared',
    loss: (z) => (z - target) ** 2,
    slope: (z) => 2 * (z - target),
  };
}

/** max(0, 1 − z): SLiC. At the kink the slope is 0, as in PyTorch's relu. */
export const hinge: Link = {
  name: 'hinge',
  loss: (z) => Math.max(0, 1 - z),
  slope: (z) => (z < 1 ? -1 : 0),
};

/** e^−z (GPO, Tang et al. 2024), continued in a straight line below z = −50. */
export const exponential: Link = {
  name: 'exponential',
  loss: (z) => boundedExp(-z),
  slope: (z) => -boundedExpSlope(-z),
};

/** −log F(z) with the Cauchy distribution function F: heavy tails, so mislabelled pairs pull less. */
export const cauchy: Link = {
  name: 'cauchy',
  loss: (z) => (z > 0 ? -Math.log1p(-cauchyTail(z)) : -Math.log(cauchyTail(-z))),
  slope: (z) => -1 / (Math.PI * (1 + z * z) * (z > 0 ? 1 - cauchyTail(z) : cauchyTail(-z))),
};

/** 1 − F(z) = atan2(1, z)/π, which keeps its digits for large z. */
function cauchyTail(z: number): number {
  return Math.atan2(1, z) / Math.PI;
}

/** −z: the loss is the scaled margin itself (SimPER). */
export const linear: Link = {
  name: 'linear',
  loss: (z) => -z,
  slope: () => -1,
};

/** `factor` times another link. */
export function weighted(link: Link, factor: number): Link {
  return {
    name: link.name,
    loss: (z, t) => factor * link.loss(z, t),
    slope: (z, t) => factor * link.slope(z, t),
  };
}
