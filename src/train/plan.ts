import { UsageError } from '../errors.ts';
import { RandomStream } from '../stats/index.ts';
import type { BatchOptions } from './contract.ts';

/** One optimiser step's items, pass by pass through the network. */
export interface PlannedStep {
  /** Epochs that are over after this step; a whole number after the last step of an epoch. */
  readonly epoch: number;
  readonly passes: readonly (readonly number[])[];
}

export interface PlanOptions extends BatchOptions {
  readonly seed: number;
  /** A new order every epoch. Default true. */
  readonly shuffle?: boolean;
  /** Updates in all; excludes `epochs`. */
  readonly steps?: number;
  /** Passes over the data, possibly a fraction. Default 1. */
  readonly epochs?: number;
}

/**
 * Which items each step trains on. A pure function of the options: step 812 can be looked up without the steps before
 * it, so a resumed run needs no more than its step number.
 *
 * The last batch of an epoch may be smaller (as in TRL, nothing is dropped).
 */
export class BatchPlan {
  readonly totalSteps: number;
  readonly #lengths: ArrayLike<number>;
  readonly #options: PlanOptions;
  readonly #epochs: (readonly (readonly (readonly number[])[])[])[] = [];

  /** `lengths[i]`: tokens that item i takes in a packed row. */
  constructor(lengths: ArrayLike<number>, options: PlanOptions) {
    if (lengths.length === 0)
      throw new UsageError('no-training-data', 'There is nothing to train on: 0 rows are usable.');
    for (const [key, value] of Object.entries({
      items: options.items,
      tokens: options.tokens,
      steps: options.steps,
    })) {
      if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
        throw new UsageError('batch-size', `${key} is ${value}; expected an integer > 0.`);
      }
    }
    this.#lengths = lengths;
    this.#options = options;
    this.totalSteps = options.steps ?? this.#stepsOf(options.epochs ?? 1);
  }

  /** `step` counts from 0. */
  step(step: number): PlannedStep {
    let epoch = 0;
    let first = 0;
    for (;;) {
      const steps = this.#epoch(epoch);
      if (step < first + steps.length) {
        return { epoch: epoch + (step - first + 1) / steps.length, passes: steps[step - first]! };
      }
      first += steps.length;
      epoch++;
    }
  }

  #stepsOf(epochs: number): number {
    if (!(epochs > 0)) throw new UsageError('epochs', `epochs is ${epochs}; expected a number > 0.`);
    let steps = 0;
    for (let epoch = 0; epoch < Math.floor(epochs); epoch++) steps += this.#epoch(epoch).length;
    const rest = epochs - Math.floor(epochs);
    return rest > 0 ? steps + Math.ceil(this.#epoch(Math.floor(epochs)).length * rest) : steps;
  }

  #epoch(epoch: number): readonly (readonly (readonly number[])[])[] {
    this.#epochs[epoch] ??= this.#planEpoch(epoch);
    return this.#epochs[epoch];
  }

  #planEpoch(epoch: number): number[][][] {
    const { seed, shuffle = true, accumulate = 1 } = this.#options;
    const count = this.#lengths.length;
    const order = shuffle
      ? [...RandomStream.create(seed, 'shuffle').stream(`epoch-${epoch}`).permutation(count)]
      : Array.from({ length: count }, (_, index) => index);
    return inGroups(this.#passes(order), accumulate);
  }

  #passes(order: number[]): number[][] {
    const { items = 4, tokens } = this.#options;
    if (tokens === undefined) return inGroups(order, items);
    const passes: number[][] = [];
    let room = 0;
    for (const item of order) {
      const length = this.#lengths[item]!;
      if (length > room || passes.length === 0) {
        passes.push([]);
        room = tokens;
      }
      passes.at(-1)!.push(item);
      room -= length;
    }
    return passes;
  }
}

function inGroups<T>(items: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let start = 0; start < items.length; start += size) groups.push(items.slice(start, start + size));
  return groups;
}
