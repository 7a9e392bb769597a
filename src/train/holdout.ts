import { canonicalJson } from '../data/index.ts';
import { RandomStream } from '../stats/index.ts';

/**
 * Splits rows into training and held-out indices, both ascending. Rows with an equal prompt land on the same side, so that
 * no held-out prompt was trained on: how many are held out is as near to `fraction` as whole prompts, in an order that
 * follows from `seed`, come to it. There is at least one when `fraction` is above 0 and there are two prompts.
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
  const chosen = chooseGroups(shuffled, heldOutCount(rows.length, fraction));
  const indices = (isHeldOut: boolean) =>
    shuffled
      .filter((group) => chosen.has(group) === isHeldOut)
      .flat()
      .sort((a, b) => a - b);
  return { train: indices(false), heldOut: indices(true) };
}

/** How many of so many rows a fraction asks for. */
export function heldOutCount(rows: number, fraction: number): number {
  return fraction > 0 ? Math.max(1, Math.round(rows * fraction)) : 0;
}

/** Groups in their order that hold `wanted` rows together, less those that would overshoot by more than they fill. */
function chooseGroups<Group extends readonly unknown[]>(
  groups: readonly Group[],
  wanted: number,
): Set<Group> {
  const chosen = new Set<Group>();
  if (wanted === 0) return chosen;
  let missing = wanted;
  for (const group of groups) {
    // One is left to train on.
    if (chosen.size === groups.length - 1) break;
    if (group.length > 2 * missing) continue;
    chosen.add(group);
    missing -= group.length;
  }
  if (chosen.size === 0 && groups.length > 1) {
    chosen.add(groups.reduce((least, group) => (group.length < least.length ? group : least)));
  }
  return chosen;
}
