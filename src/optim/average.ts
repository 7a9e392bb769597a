import { UsageError } from '../errors.ts';

/** What a moving average keeps of itself at each update. At 1 it never learns a gradient, and updates divide 0 by 0. */
export function requireAverageWeight(name: string, value: number): void {
  if (value >= 0 && value < 1) return;
  throw new UsageError('optimizer-coefficient', `${name} is ${value}; expected a number in [0, 1).`, {
    hint: 'Leave it out to take the default of PyTorch.',
  });
}
