import { expect, it } from 'vitest';
import { differenceAtEqualKl } from './claims.ts';

it('compares two frontiers up to where the shorter one ends', () => {
  const start = { step: 0, kl: 0, accuracy: 0.5, probability: 0.5 };
  const first = [start, { step: 10, kl: 2, accuracy: 0.7, probability: 0.7 }];
  const second = [start, { step: 10, kl: 4, accuracy: 0.7, probability: 0.7 }];
  // At 0.5, 1, 1.5 and 2 nats the first rises twice as fast.
  expect(differenceAtEqualKl(first, second)).toEqual({ difference: expect.closeTo(0.0625, 12), upTo: 2 });
  expect(differenceAtEqualKl([start], second)).toBeUndefined();
});
