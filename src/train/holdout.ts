import { canonicalJson } from '../data/index.ts';
import { RandomStream } from '../stats/index.ts';

/**
 * Splits rows into training and held-out indices, both ascending. Rows with an equal prompt land on the same side, so that
 * no held-out prompt was trained on. At least one row is held out when `fraction` is above 0 and there are two prompts.
 */
export function holdOut(
  rows: readonly { readonly prompt?: unknown }[],
  fraction: number,
  seed: number,
): { train: number[]; heldOut: number[] } {
  const groups = new Map<string, number[]>();
  for (const [index, { prompt }] of rows.entries()) {
    const key = prompt === undefined ? `row ${index}` : canonicalJson(prompt);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [index]);
    else group.push(index);
  }
  const shuffled = RandomStream.create(seed, 'hold-out').shuffle([...groups.values()]);
  const wanted = fraction > 0 ? Math.max(1, Math.round(rows.length * fraction)) : 0;
  const heldOut: number[] = [];
  const train: number[] = [];
  for (const [place, group] of shuffled.entries()) {
    const isLastPrompt = place === shuffled.length - 1 && train.length === 0;
    (heldOut.length < wanted && !isLastPrompt ? heldOut : train).push(...group);
  }
  const ascending = (a: number, b: number) => a - b;
  return { train: train.sort(ascending), heldOut: heldOut.sort(ascending) };
}
