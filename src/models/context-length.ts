import type { ModelConfig } from './contract.ts';

/**
 * Says that sequences are longer than the context a model was made for. A rotary model computes on, with positions that it
 * has never seen; learned positions end there, which is an error of its own.
 *
 * @param what the sequences are: `rows`, `prompts`
 * @returns undefined where every length fits
 */
export function contextNotice(
  lengths: Iterable<number>,
  what: string,
  { maxPositions, learnedPositions }: Pick<ModelConfig, 'maxPositions' | 'learnedPositions'>,
): string | undefined {
  if (learnedPositions) return undefined;
  let beyond = 0;
  let all = 0;
  let longest = 0;
  for (const length of lengths) {
    all++;
    if (length > maxPositions) beyond++;
    longest = Math.max(longest, length);
  }
  if (beyond === 0) return undefined;
  return `${beyond} of ${all} ${what} are longer than the ${maxPositions} tokens that the model was made for (the longest has ${longest}): what it computes beyond them is not to be trusted.`;
}
