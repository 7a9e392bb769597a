import { UsageError } from '../errors.ts';

export type ScheduleName = 'linear' | 'cosine' | 'constant';

export interface ScheduleOptions {
  /** Default `linear`, as in TRL. */
  readonly name?: ScheduleName;
  /** Steps over which the rate rises from 0. Excludes `warmupRatio`. */
  readonly warmupSteps?: number;
  /** The same as a share of all steps, rounded up. */
  readonly warmupRatio?: number;
}

/** Learning rate of each update: `step` counts from 0, the first update. */
export type Schedule = (step: number) => number;

/**
 * The schedules of `transformers` (`get_{linear,cosine,constant}_schedule_with_warmup`), value for value: during
 * warm-up `peak · step / warmup`, so that the very first update has rate 0; afterwards a line or half a cosine to 0 at
 * `totalSteps`, or the peak itself.
 */
export function createSchedule(peak: number, totalSteps: number, options: ScheduleOptions = {}): Schedule {
  if (!(peak >= 0) || !Number.isFinite(peak)) {
    throw new UsageError('learning-rate', `The learning rate is ${peak}; expected a finite number ≥ 0.`);
  }
  const warmup = warmupSteps(totalSteps, options);
  const name = options.name ?? 'linear';
  const rest = Math.max(1, totalSteps - warmup);
  const after: Record<ScheduleName, Schedule> = {
    constant: () => 1,
    linear: (step) => Math.max(0, (totalSteps - step) / rest),
    cosine: (step) => Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / rest))),
  };
  const shape = after[name];
  return (step) => peak * (step < warmup ? step / Math.max(1, warmup) : shape(step));
}

/** How many steps the warm-up takes. */
export function warmupSteps(
  totalSteps: number,
  { warmupSteps: steps, warmupRatio: ratio }: ScheduleOptions,
): number {
  if (steps !== undefined && ratio !== undefined) {
    throw new UsageError(
      'warmup-twice',
      `Both warmupSteps (${steps}) and warmupRatio (${ratio}) are given.`,
      {
        hint: 'Keep one of them.',
      },
    );
  }
  if (steps !== undefined && !(Number.isInteger(steps) && steps >= 0)) {
    throw new UsageError('warmup-steps', `warmupSteps is ${steps}; expected an integer ≥ 0.`);
  }
  if (ratio !== undefined && !(ratio >= 0 && ratio < 1)) {
    throw new UsageError('warmup-ratio', `warmupRatio is ${ratio}; expected a number in [0, 1).`);
  }
  return steps ?? Math.ceil(totalSteps * (ratio ?? 0));
}
