import { expect, it } from 'vitest';
import { accuracyAt, differenceAtEqualKl } from './imdb-claims.ts';

const moments = [
  { step: 30, kl: 4, accuracy: 0.9, probability: 0.9 },
  { step: 10, kl: 1, accuracy: 0.6, probability: 0.6 },
];

it('reads a frontier between its moments, and nowhere else', () => {
  expect(accuracyAt(moments, 1)).toBe(0.6);
  expect(accuracyAt(moments, 2)).toBeCloseTo(0.7, 12);
  expect(accuracyAt(moments, 4)).toBe(0.9);
  expect(accuracyAt(moments, 0.5)).toBeUndefined();
  expect(accuracyAt(moments, 5)).toBeUndefined();
});

it('compares two frontiers up to where the shorter one ends', () => {
  const start = { step: 0, kl: 0, accuracy: 0.5, probability: 0.5 };
  const first = [start, { step: 10, kl: 2, accuracy: 0.7, probability: 0.7 }];
  const second = [start, { step: 10, kl: 4, accuracy: 0.7, probability: 0.7 }];
  // At 0.5, 1, 1.5 and 2 nats the first rises twice as fast.
  expect(differenceAtEqualKl(first, second)).toEqual({ difference: expect.closeTo(0.0625, 12), upTo: 2 });
  expect(differenceAtEqualKl([start], second)).toBeUndefined();
});
