import { epochSteps, type ItemGroups, type MicroBatch } from '../data/batches.ts';
import { UsageError } from '../errors.ts';
import type { BatchOptions } from './contract.ts';
import { DEFAULT_PAIRS } from './options.ts';
import type { LoopTask } from './task.ts';

/** One optimiser step's items, pass by pass through the network. */
export interface PlannedStep {
  /** Epochs that are over after this step; a whole number after the last step of an epoch. */
  readonly epoch: number;
  readonly passes: readonly MicroBatch[];
}

/** What a pass through the network takes. */
export interface PassSize {
  /** Tokens of its packed row. */
  readonly rowTokens: number;
  /** Of these, positions that predict completion tokens. */
  readonly headPositions: number;
}

export interface PlanOptions extends BatchOptions {
  readonly seed: number;
  /** Another order every epoch. Default true. */
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
  readonly #options: Parameters<typeof epochSteps>[0];
  readonly #epochs: ReturnType<typeof epochSteps>[] = [];

  /** The plan of a task's items. */
  static of(task: Pick<LoopTask, 'items' | 'tokens' | 'groups'>, options: PlanOptions): BatchPlan {
    const lengths = Float64Array.from({ length: task.items }, (_, item) => task.tokens(item));
    return new BatchPlan(lengths, options, options.groupPrompts === true ? task.groups?.() : undefined);
  }

  /**
   * Checks what needs no items.
   *
   * @throws UsageError for options that contradict each other, or that no plan can have.
   */
  static check(options: PlanOptions): void {
    const alone = { items: 1, tokens: () => 1, groups: () => ({ keys: [''], shared: [0] }) };
    BatchPlan.of(alone, options).step(0);
  }

  /** `lengths[i]`: tokens that item i takes in a packed row. Items of one group stay together. */
  constructor(
    lengths: ArrayLike<number>,
    { steps, epochs, groupPrompts: _, ...options }: PlanOptions,
    groups?: ItemGroups,
  ) {
    if (steps !== undefined && epochs !== undefined) {
      throw new UsageError('steps-and-epochs', `Both steps (${steps}) and epochs (${epochs}) are given.`, {
        hint: 'Keep one of them.',
      });
    }
    if (steps !== undefined && !(Number.isInteger(steps) && steps > 0)) {
      throw new UsageError('steps', `steps is ${steps}; expected an integer > 0.`);
    }
    const sized = options.pairs === undefined && options.tokens === undefined ? { pairs: DEFAULT_PAIRS } : {};
    this.#options = { ...options, ...sized, lengths, ...(groups && { groups }) };
    this.totalSteps = steps ?? this.#stepsOf(epochs ?? 1);
  }

  /** `step` counts from 0. */
  step(step: number): PlannedStep {
    let first = 0;
    for (let epoch = 0; ; epoch++) {
      const steps = this.#epoch(epoch);
      const passes = steps[step - first];
      if (passes !== undefined) return { epoch: epoch + (step - first + 1) / steps.length, passes };
      first += steps.length;
    }
  }

  /** The most that passes of the first thousand steps take. */
  largestPass(sizeOf: (items: readonly number[]) => PassSize): PassSize {
    let rowTokens = 0;
    let headPositions = 0;
    for (let step = 0; step < Math.min(this.totalSteps, 1000); step++) {
      for (const size of this.step(step).passes.map(sizeOf)) {
        rowTokens = Math.max(rowTokens, size.rowTokens);
        headPositions = Math.max(headPositions, size.headPositions);
      }
    }
    return { rowTokens, headPositions };
  }

  #stepsOf(epochs: number): number {
    if (!(epochs > 0)) throw new UsageError('epochs', `epochs is ${epochs}; expected a number > 0.`);
    let steps = 0;
    for (let epoch = 0; epoch < Math.floor(epochs); epoch++) steps += this.#epoch(epoch).length;
    const rest = epochs - Math.floor(epochs);
    return rest > 0 ? steps + Math.ceil(this.#epoch(Math.floor(epochs)).length * rest) : steps;
  }

  #epoch(epoch: number): ReturnType<typeof epochSteps> {
    this.#epochs[epoch] ??= epochSteps(this.#options, epoch);
    return this.#epochs[epoch];
  }
}
