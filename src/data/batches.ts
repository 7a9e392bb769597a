import { UsageError } from '../errors.ts';
import { RandomStream } from '../stats/random.ts';

export interface EpochOptions {
  /** Cost of each item in tokens (`packedLength`). */
  readonly lengths: ArrayLike<number>;
  /** Exactly one of the two: items a micro-batch, or tokens a micro-batch at most. */
  readonly pairs?: number;
  /** A longer item makes a micro-batch alone: nothing is dropped. */
  readonly tokens?: number;
  /** Micro-batches whose gradients make one optimiser step. Default 1. */
  readonly accumulate?: number;
  readonly seed: number;
  /** Default true: another order each epoch, which follows from the seed and the epoch alone. */
  readonly shuffle?: boolean;
  /** Puts items of similar length together, within windows of a shuffled order. Default false. */
  readonly bucket?: boolean;
  /** Keeps the items of a group together, also when shuffled. Not together with `bucket`. */
  readonly groups?: ItemGroups;
}

/** Items that take some tokens of a micro-batch's row once for all of them, as pairs of one prompt do (`promptGroups`). */
export interface ItemGroups {
  /** Items with equal keys are a group. */
  readonly keys: ArrayLike<string>;
  /** Of each item's length, the tokens that it shares with its group. */
  readonly shared: ArrayLike<number>;
}

/** Indices of the items that go through the network together. */
export type MicroBatch = readonly number[];

/** Micro-batches whose items a bucket window sorts together. */
const WINDOW_BATCHES = 16;

/**
 * One epoch's steps: every item exactly once, the last micro-batch and step perhaps smaller. A pure function of its
 * arguments, so resuming needs no more than the step's number.
 */
export function epochSteps(options: EpochOptions, epoch = 0): readonly (readonly MicroBatch[])[] {
  const { accumulate = 1, shuffle = true, bucket = false, groups, seed } = check(options);
  const random = RandomStream.create(seed, `batches/epoch-${epoch}`);
  const count = options.lengths.length;
  let order = shuffle ? [...random.permutation(count)] : Array.from({ length: count }, (_, i) => i);
  if (groups !== undefined) {
    const gathered = gather(order, groups.keys);
    // Else a large group, whose first item comes early, would tend to come early too.
    order = (shuffle ? random.shuffle(gathered) : gathered).flat();
  }
  if (bucket) order = sortWindows(order, options);
  const batches = cut(order, options);
  if (bucket && shuffle) random.shuffle(batches);
  const steps: MicroBatch[][] = [];
  for (let i = 0; i < batches.length; i += accumulate) steps.push(batches.slice(i, i + accumulate));
  return steps;
}

function check(options: EpochOptions): EpochOptions {
  const { pairs, tokens, accumulate = 1, lengths } = options;
  if (lengths.length === 0)
    throw new UsageError('empty-batch-plan', 'There are no items to make batches of.');
  if ((pairs === undefined) === (tokens === undefined)) {
    throw new UsageError(
      'batch-size',
      'Give the batch size either in pairs or in tokens, not both and not neither.',
    );
  }
  if (options.groups !== undefined && options.bucket) {
    throw new UsageError('batch-order', 'Items can be kept together by group or sorted by length, not both.');
  }
  for (const [name, value] of Object.entries({ pairs, tokens, accumulate })) {
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue;
    throw new UsageError(
      'batch-size',
      `The batch's ${name} must be a whole number above 0, received ${value}.`,
    );
  }
  return options;
}

/** The items of each group in a given order, groups in order of their first items. */
function gather(order: readonly number[], keys: ArrayLike<string>): number[][] {
  const members = new Map<string, number[]>();
  for (const item of order) {
    const key = keys[item]!;
    const known = members.get(key);
    if (known === undefined) members.set(key, [item]);
    else known.push(item);
  }
  return [...members.values()];
}

/** Cuts an order into micro-batches that keep the budget. */
function cut(
  order: readonly number[],
  { lengths, pairs = Infinity, tokens = Infinity, groups }: EpochOptions,
): MicroBatch[] {
  const batches: number[][] = [];
  let used = 0;
  for (const item of order) {
    const last = batches.at(-1);
    const length = lengths[item]!;
    const added = length - (groups ? sharedTokens(item, last?.at(-1), groups) : 0);
    if (last !== undefined && last.length < pairs && used + added <= tokens) {
      last.push(item);
      used += added;
    } else {
      batches.push([item]);
      used = length;
    }
  }
  return batches;
}

/** Tokens of an item that the micro-batch has already when the item comes after another of its group. */
function sharedTokens(item: number, before: number | undefined, { keys, shared }: ItemGroups): number {
  return before !== undefined && keys[before] === keys[item] ? shared[item]! : 0;
}

/** Sorts an order by length inside windows of several batches; the shuffle decides which items meet in a window. */
function sortWindows(order: readonly number[], { lengths, pairs, tokens }: EpochOptions): number[] {
  const mean = Array.from(order, (item) => lengths[item]!).reduce((a, b) => a + b, 0) / order.length;
  const size = Math.max(1, Math.round(WINDOW_BATCHES * (pairs ?? tokens! / Math.max(1, mean))));
  const sorted: number[] = [];
  for (let i = 0; i < order.length; i += size) {
    const window = order.slice(i, i + size);
    sorted.push(...window.sort((a, b) => lengths[a]! - lengths[b]! || a - b));
  }
  return sorted;
}
