import { DataError } from '../errors.ts';
import { boundedExp, boundedExpSlope, logSigmoid, sigmoid } from './links.ts';

/**
 * The score of one completion, from its summed log-probability (nats), the reference's, and its number of tokens. A
 * pair's gap is the chosen score minus the rejected one.
 */
export interface Score {
  readonly name: string;
  readonly needsReference: boolean;
  value(logp: number, referenceLogp: number, tokens: number): number;
  /** ∂value/∂logp */
  slope(logp: number, referenceLogp: number, tokens: number): number;
}

/** `sum`: over the completion's tokens. `length`: divided by their number. */
export type Normalize = 'sum' | 'length';

/** log π(y|x) − log π_ref(y|x): DPO's implicit reward over β. */
export const logRatio: Score = {
  name: 'log-ratio',
  needsReference: true,
  value: (logp, referenceLogp) => logp - referenceLogp,
  slope: () => 1,
};

/** log π(y|x), without a reference (CPO). */
export const logProbability: Score = {
  name: 'log-probability',
  needsReference: false,
  value: (logp) => logp,
  slope: () => 1,
};

function requireTokens(tokens: number): number {
  if (tokens > 0) return tokens;
  throw new DataError(
    'empty-completion',
    `A length-normalised score received a completion of ${tokens} tokens.`,
    {
      hint: 'Leave out pairs with an empty completion.',
    },
  );
}

/** A score divided by the number of tokens. */
export function perToken(score: Score): Score {
  return {
    name: `${score.name}-per-token`,
    needsReference: score.needsReference,
    value: (logp, referenceLogp, tokens) => score.value(logp, referenceLogp, tokens) / requireTokens(tokens),
    slope: (logp, referenceLogp, tokens) => score.slope(logp, referenceLogp, tokens) / requireTokens(tokens),
  };
}

export function normalized(score: Score, normalize: Normalize): Score {
  return normalize === 'length' ? perToken(score) : score;
}

/** Mean probability per token, exp(log π(y|x)/|y|): the inverse perplexity (SimPER). */
export const inversePerplexity: Score = {
  name: 'inverse-perplexity',
  needsReference: false,
  value: (logp, _, tokens) => Math.exp(logp / requireTokens(tokens)),
  slope: (logp, _, tokens) => Math.exp(logp / requireTokens(tokens)) / tokens,
};

/** A token probability of 1 has infinite odds; fp32 models reach it by rounding. Odds stop at 1 − 2⁻²⁴. */
const LARGEST_MEAN_LOGP = Math.log1p(-(2 ** -24));

/** log(p/(1 − p)) of the mean token probability p (ORPO). Constant beyond p = 1 − 2⁻²⁴. */
export const logOdds: Score = {
  name: 'log-odds',
  needsReference: false,
  value: (logp, _, tokens) => {
    const mean = Math.min(logp / requireTokens(tokens), LARGEST_MEAN_LOGP);
    return mean - Math.log(-Math.expm1(mean));
  },
  slope: (logp, _, tokens) => {
    const mean = logp / requireTokens(tokens);
    return mean >= LARGEST_MEAN_LOGP ? 0 : 1 / (-Math.expm1(mean) * tokens);
  },
};

export type Divergence = 'reverse-kl' | 'forward-kl' | 'js' | 'alpha';

/**
 * f-DPO (Wang et al. 2023): the score is f′(π/π_ref) for the divergence that holds π near π_ref.
 * reverse KL: log r · forward KL: 1 − 1/r · Jensen–Shannon: log(2r/(1+r)) · α: (1 − r^−α)/α, which is reverse KL at α = 0
 * and forward KL at α = 1.
 */
export function divergenceScore(divergence: Divergence, alpha: number): Score {
  const fromRatio = (name: string, value: (a: number) => number, slope: (a: number) => number): Score => ({
    name,
    needsReference: true,
    value: (logp, referenceLogp) => value(logp - referenceLogp),
    slope: (logp, referenceLogp) => slope(logp - referenceLogp),
  });
  switch (divergence) {
    case 'reverse-kl':
      return logRatio;
    case 'forward-kl':
      return fromRatio(
        'forward-kl',
        (a) => 1 - boundedExp(-a),
        (a) => boundedExpSlope(-a),
      );
    case 'js':
      return fromRatio(
        'js',
        (a) => Math.LN2 + logSigmoid(a),
        (a) => sigmoid(-a),
      );
    case 'alpha':
      if (alpha < 1e-6) return logRatio; // the limit
      return fromRatio(
        `alpha-${alpha}`,
        (a) => (1 - boundedExp(-alpha * a)) / alpha,
        (a) => boundedExpSlope(-alpha * a),
      );
    default:
      return divergence satisfies never;
  }
}
