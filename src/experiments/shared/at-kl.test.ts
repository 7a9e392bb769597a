import { expect, it } from 'vitest';
import { valueAtKl, valueWhenKlReaches } from './at-kl.ts';

it('reads a frontier between its points in order of KL, and nowhere else', () => {
  const points = [
    { kl: 4, value: 0.9 },
    { kl: 1, value: 0.6 },
  ];
  expect(valueAtKl(points, 1)).toBe(0.6);
  expect(valueAtKl(points, 2)).toBeCloseTo(0.7, 12);
  expect(valueAtKl(points, 4)).toBe(0.9);
  expect(valueAtKl(points, 0.5)).toBeUndefined();
  expect(valueAtKl(points, 5)).toBeUndefined();
  expect(valueAtKl([], 1)).toBeUndefined();
});

it('reads a path where KL first reaches a level, between two records', () => {
  const path = { kl: [0.1, 0.2, 0.4, 0.3, 0.5], value: [13, 14, 16, 17, 18] };
  expect(valueWhenKlReaches(path, 0.3)).toBeCloseTo(15, 12);
  expect(valueWhenKlReaches(path, 0.1)).toBe(13);
  expect(valueWhenKlReaches(path, 0.45)).toBeCloseTo(17.75, 12);
  expect(valueWhenKlReaches(path, 0.6)).toBeUndefined();
  // It had passed this level before anything was recorded.
  expect(valueWhenKlReaches(path, 0.05)).toBeUndefined();
});
