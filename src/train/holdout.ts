import { canonicalJson } from '../data/index.ts';
import { UsageError } from '../errors.ts';
import { RandomStream } from '../stats/index.ts';

/**
 * Splits rows into training and held-out indices, both ascending. Rows with an equal prompt land on the same side, so that
 * no held-out prompt was trained on: prompts are held out in an order that follows from `seed`, as long as they fit into
 * `fraction` of the rows, and one that does not where that comes nearer. There is at least one when `fraction` is above 0 and there are two prompts.
 */
export function holdOut(
  rows: readonly { readonly prompt?: unknown }[],
  fraction: number,
  seed: number,
): { train: number[]; heldOut: number[] } {
  const shuffled = RandomStream.create(seed, 'hold-out').shuffle(promptGroups(rows));
  const chosen = chooseGroups(shuffled, heldOutCount(rows.length, fraction));
  const indices = (isHeldOut: boolean) =>
    shuffled
      .filter((group) => chosen.has(group) === isHeldOut)
      .flat()
      .sort((a, b) => a - b);
  return { train: indices(false), heldOut: indices(true) };
}

/**
 * Indices of `count` rows, ascending (all, where there are no more): prompt by prompt in an order that follows from `seed`,
 * because data often come sorted by where they are from, and their first rows are of one kind. Of the last prompt there may
 * be some rows only.
 */
export function drawRows(
  rows: readonly { readonly prompt?: unknown }[],
  count: number,
  seed: number,
): number[] {
  if (rows.length <= count) return [...rows.keys()];
  const shuffled = RandomStream.create(seed, 'held-out-rows').shuffle(promptGroups(rows));
  return shuffled
    .flat()
    .slice(0, count)
    .sort((a, b) => a - b);
}

/** Row indices by prompt. */
function promptGroups(rows: readonly { readonly prompt?: unknown }[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const [index, { prompt }] of rows.entries()) {
    // As the data write it, not by `promptKey`: the splits of earlier runs stay what they were.
    const key = prompt === undefined ? `row ${index}` : canonicalJson(prompt);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [index]);
    else group.push(index);
  }
  return [...groups.values()];
}

/** @throws UsageError for what is no share of data that leaves something to train on */
export function requireFraction(fraction: number | undefined): void {
  if (fraction === undefined || (fraction >= 0 && fraction < 1)) return;
  throw new UsageError('eval-fraction', `evalFraction is ${fraction}; expected 0 or more, and below 1.`, {
    hint: 'It is the share of the data that is held out: 0.1 holds out a tenth, 0 nothing.',
  });
}

/** @throws UsageError for what is no number of rows to evaluate on */
export function requireMaxPairs(count: number | undefined): void {
  if (count === undefined || (Number.isInteger(count) && count > 0)) return;
  throw new UsageError('eval-pairs', `evaluation.maxPairs is ${count}; expected a whole number above 0.`, {
    hint: 'Leave it out to evaluate on all held-out rows; evalFraction: 0 holds nothing out.',
  });
}

/** How many of so many rows a fraction asks for. */
export function heldOutCount(rows: number, fraction: number): number {
  return fraction > 0 ? Math.max(1, Math.round(rows * fraction)) : 0;
}

/** Groups in their order that fit into `wanted` rows, and the smallest other one if that comes nearer. */
function chooseGroups<Group extends readonly unknown[]>(
  groups: readonly Group[],
  wanted: number,
): Set<Group> {
  const chosen = new Set<Group>();
  if (wanted === 0 || groups.length < 2) return chosen;
  // One is left to train on.
  const most = groups.length - 1;
  let missing = wanted;
  for (const group of groups) {
    if (chosen.size === most) return chosen;
    if (group.length > missing) continue;
    chosen.add(group);
    missing -= group.length;
  }
  const rest = groups.filter((group) => !chosen.has(group));
  const least = rest.reduce((a, b) => (b.length < a.length ? b : a));
  const nearer = least.length < 2 * missing;
  if (chosen.size < most && (nearer || chosen.size === 0)) chosen.add(least);
  return chosen;
}
