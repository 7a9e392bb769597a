import type { TokenizedPair } from '../../src/data/contract.ts';
import { RandomStream } from '../../src/stats/index.ts';

/** Random pairs of token ids: prompts of 1–9 tokens, completions of 1–7. */
export function tinyPairs(count: number, seed = 0, vocabulary = 53): TokenizedPair[] {
  const random = RandomStream.create(seed, 'tiny-pairs');
  const tokens = (longest: number) =>
    Int32Array.from({ length: 1 + random.integer(longest) }, () => random.integer(vocabulary));
  return Array.from({ length: count }, (_, index) => ({
    id: `pair-${index}`,
    prompt: tokens(9),
    chosen: tokens(7),
    rejected: tokens(7),
    movedTokens: 0,
    cutTokens: 0,
  }));
}
