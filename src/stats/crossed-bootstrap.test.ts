import { describe, expect, it } from 'vitest';
import { crossedBootstrap, crossedDifference, RandomStream } from './index.ts';

function normals(count: number, stream: RandomStream): number[] {
  return Array.from({ length: count }, () => stream.normal());
}

/** Share of 95 % intervals that hold the truth, of two methods without a difference whose seeds' luck has sd 0.5. */
function coverage(seeds: number): number {
  const stream = RandomStream.create(2);
  let covered = 0;
  const trials = 120;
  for (let trial = 0; trial < trials; trial++) {
    const prompts = normals(40, stream);
    const runs = () =>
      normals(seeds, stream).map((luck) =>
        prompts.map((value) => value + 0.5 * luck + 0.3 * stream.normal()),
      );
    const { low, high } = crossedDifference(runs(), runs(), Object.keys(prompts), {
      seed: trial,
      resamples: 400,
    });
    if (low <= 0 && high >= 0) covered++;
  }
  return covered / trials;
}

describe('the bootstrap over seeds and prompts', () => {
  it('covers the truth about as often as it says, but a little less with few seeds', () => {
    // Without the level of seeds it would cover about 0.3.
    expect(coverage(5)).toBeGreaterThan(0.86);
    expect(coverage(3)).toBeGreaterThan(0.83);
  });

  it('keeps a luck that moves all prompts together', () => {
    // One seed wins every prompt, the other loses every one: one of the two is drawn.
    const runs = [new Float64Array(200), new Float64Array(200).fill(1)];
    const { estimate, low, high } = crossedBootstrap(runs, Object.keys(runs[0]!), { resamples: 400 });
    expect([estimate, low, high]).toEqual([0.5, 0, 1]);
  });

  it('is exact where nothing varies, and no surer than its prompts allow', () => {
    const ones = [new Float64Array(5).fill(1), new Float64Array(5).fill(1)];
    const threes = [new Float64Array(5).fill(3)];
    const prompts = ['x', 'x', 'y', 'z', 'z'];
    const result = crossedDifference(ones, threes, prompts, { resamples: 99 });
    expect(result.estimate).toBe(2);
    expect(result.low).toBeCloseTo(2, 12);
    expect(result.high).toBeCloseTo(2, 12);
    // Three prompts: two of their eight patterns of signs are as extreme.
    expect(result.pValue).toBe(2 / 8);
    const many = (value: number) => [new Float64Array(12).fill(value)];
    expect(
      crossedDifference(many(1), many(3), Object.keys(many(1)[0]!), { resamples: 99 }).pValue,
    ).toBeCloseTo(0.02, 12);
    const interval = crossedBootstrap(threes, prompts, { resamples: 99 });
    expect([interval.estimate, interval.low, interval.high]).toEqual([3, 3, 3]);
  });

  it('weighs every value alike, and leaves out what a run lacks', () => {
    const runs = [
      [1, 1, 0],
      [Number.NaN, 0, Number.NaN],
    ];
    const { estimate, undefinedResamples } = crossedBootstrap(runs, ['x', 'x', 'y'], { resamples: 400 });
    expect(estimate).toBe(0.5);
    // The second seed (½) with the second prompt alone (¼) has no value.
    expect(undefinedResamples).toBeGreaterThan(20);
    expect(undefinedResamples).toBeLessThan(80);
  });

  it('rejects runs of different items', () => {
    expect(() => crossedBootstrap([[1, 2], [1]], ['x', 'y'])).toThrow(/received 1 and 2 values/);
    expect(() => crossedBootstrap([], ['x'])).toThrow(/at least 1 values, received 0/);
  });
});
