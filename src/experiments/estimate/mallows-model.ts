import type { RandomStream } from '../../stats/index.ts';

/**
 * The Mallows-φ model over rankings of n items: P(ranking) ∝ φ^d, d the Kendall distance to the central ranking
 * 0, 1, …, n − 1.
 */

/** Draws a ranking by repeated insertion: item i goes j places before the end of i items with probability ∝ φ^j. */
export function drawRanking(items: number, phi: number, stream: RandomStream): number[] {
  const ranking: number[] = [];
  for (let item = 0; item < items; item++) {
    let rest = (stream.uniform() * (1 - phi ** (item + 1))) / (1 - phi); // Σ_j≤i φ^j
    let places = 0;
    for (let weight = 1; places < item && rest >= weight; weight *= phi) {
      rest -= weight;
      places++;
    }
    ranking.splice(item - places, 0, item);
  }
  return ranking;
}

/** Pairs of items in the wrong order. */
export function kendallDistance(ranking: readonly number[]): number {
  let inversions = 0;
  for (let i = 0; i < ranking.length; i++) {
    for (let j = i + 1; j < ranking.length; j++) if (ranking[i]! > ranking[j]!) inversions++;
  }
  return inversions;
}

/**
 * Entropy (nats) of the next item given everything ranked so far, when `left` items are left: the j-th best of them comes
 * next with probability ∝ φ^j, whichever they are.
 */
export function nextItemEntropy(left: number, phi: number): number {
  const weights = Array.from({ length: left }, (_, j) => phi ** j);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.reduce((entropy, weight) => {
    const p = weight / total;
    return p > 0 ? entropy - p * Math.log(p) : entropy;
  }, 0);
}
