import { describe, expect, it } from 'vitest';
import {
  clusterBootstrap,
  crossedDifference,
  crossedMean,
  pairedPermutationTest,
  RandomStream,
} from './index.ts';

function normals(count: number, stream: RandomStream): number[] {
  return Array.from({ length: count }, () => stream.normal());
}

/** Share of differences claimed of two methods that have none, whose seeds' luck has sd 0.5. */
function falseClaims(first: number, second: number): number {
  const stream = RandomStream.create(2);
  let claims = 0;
  const trials = 300;
  for (let trial = 0; trial < trials; trial++) {
    const prompts = normals(40, stream);
    const runs = (seeds: number) =>
      normals(seeds, stream).map((luck) =>
        prompts.map((value) => value + 0.5 * luck + 0.3 * stream.normal()),
      );
    const { low, high, pValue } = crossedDifference(runs(first), runs(second), Object.keys(prompts));
    expect(pValue < 0.05).toBe(low > 0 || high < 0);
    if (pValue < 0.05) claims++;
  }
  return claims / trials;
}

describe('means over seeds and prompts', () => {
  it.each([
    [2, 2],
    [3, 3],
    [5, 5],
    [1, 2],
    [1, 3],
  ])('claim no difference that is the luck of training: %i seeds and %i', (first, second) => {
    // By quantiles of resampled seeds a third of those with two seeds each.
    expect(falseClaims(first, second)).toBeLessThan(0.09);
  });

  it('cover the truth with a mean of two seeds, of whose luck there is but one degree of freedom', () => {
    const stream = RandomStream.create(5);
    const trials = 400;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const prompts = normals(40, stream);
      const runs = normals(2, stream).map((luck) =>
        prompts.map((value) => value + 0.6 * luck + 0.3 * stream.normal()),
      );
      const { low, high } = crossedMean(runs, Object.keys(prompts));
      if (low <= 0 && high >= 0) covered++;
    }
    // With one t for both variances, 85 of a hundred.
    expect(covered / trials).toBeGreaterThan(0.92);
  });

  it('weigh Student’s t of seeds and of prompts by their variances', () => {
    // Prompts at 0, 1 and 2, of which the second run has one more: variances ⅓ of 2 degrees of freedom and ¼ of one.
    const { estimate, low, high } = crossedMean(
      [
        [0, 1, 2],
        [1, 2, 3],
      ],
      [0, 1, 2],
    );
    const t = (4.3026527297 / 3 + 12.7062047362 / 4) / (1 / 3 + 1 / 4);
    const half = t * Math.sqrt(1 / 3 + 1 / 4);
    expect([estimate, low, high].map((x) => x.toFixed(8))).toEqual(
      [1.5, 1.5 - half, 1.5 + half].map((x) => x.toFixed(8)),
    );
  });

  it('tell a difference that is large beside that luck, also by three seeds', () => {
    const runs = (level: number) =>
      [-1, 0, 1].map((luck) => [0, 1, 2, 3].map((x) => x + level + 0.01 * luck));
    const prompts = Array.from({ length: 4 }, (_, i) => i);
    const { estimate, low, high, pValue } = crossedDifference(runs(0), runs(1), prompts);
    // Welch's t over the runs' means: every prompt moves alike.
    const half = 2.7764451052 * Math.sqrt((2 * 0.01 ** 2) / 3);
    expect([estimate, low, high].map((x) => x.toFixed(8))).toEqual(
      [1, 1 - half, 1 + half].map((x) => x.toFixed(8)),
    );
    // Four prompts: two of their sixteen patterns of signs are as extreme.
    expect(pValue).toBe(2 / 16);
  });

  it('are Student’s over prompts where seeds do not differ, and over seeds where prompts do not', () => {
    const prompts = [0, 1, 2];
    const half = (t: number, sd: number, n: number) => (t * sd) / Math.sqrt(n);
    const alike = crossedMean([prompts, prompts], prompts);
    expect(alike.estimate).toBe(1);
    expect(alike.high).toBeCloseTo(1 + half(4.3026527297, 1, 3), 8);
    const level = (value: number) => prompts.map(() => value);
    expect(crossedMean([level(0), level(2)], prompts).high).toBeCloseTo(
      1 + half(12.7062047362, Math.SQRT2, 2),
      8,
    );
    expect(crossedMean([level(0), level(2)], prompts, { range: [0, 2] })).toEqual({
      estimate: 1,
      low: 0,
      high: 2,
    });
  });

  it('of single runs are the bootstrap’s over prompts, of a mean and of a difference', () => {
    const values = normals(12, RandomStream.create(1));
    const prompts = values.map((_, i) => i >> 1);
    const zeros = values.map(() => 0);
    const { estimate, low, high } = clusterBootstrap(values, prompts, { resamples: 400 });
    expect(crossedMean([values], prompts, { resamples: 400 })).toEqual({ estimate, low, high });
    const sums = prompts.filter((_, i) => i % 2 === 0).map((_, i) => values[2 * i]! + values[2 * i + 1]!);
    const { pValue } = pairedPermutationTest(sums, new Float64Array(6));
    const difference = crossedDifference([zeros], [values], prompts, { resamples: 400 });
    expect(difference).toEqual({ estimate, low, high, pValue });
  });

  it('are exact where nothing varies, and no surer than their prompts allow', () => {
    const ones = [new Float64Array(5).fill(1), new Float64Array(5).fill(1)];
    const threes = [new Float64Array(5).fill(3)];
    const prompts = ['x', 'x', 'y', 'z', 'z'];
    expect(crossedDifference(ones, threes, prompts)).toEqual({ estimate: 2, low: 2, high: 2, pValue: 2 / 8 });
    expect(crossedDifference(ones, ones, prompts)).toEqual({ estimate: 0, low: 0, high: 0, pValue: 1 });
  });

  it('find no difference in what rounding leaves of equal means', () => {
    const prompts = Array.from({ length: 40 }, (_, i) => i);
    for (let i = 1; i < 40; i++) {
      const same = prompts.map(() => i / 41);
      expect(crossedDifference([same, same], [same, same, same], prompts).pValue).toBe(1);
    }
  });

  it('weigh every value alike, and leave out what a run lacks', () => {
    const prompts = ['x', 'x', 'y'];
    const runs = [
      [1, 1, 0],
      [Number.NaN, 0, Number.NaN],
    ];
    expect(crossedMean(runs, prompts).estimate).toBe(0.5);
    // A run that measured nothing is none.
    const nothing = [Number.NaN, Number.NaN, Number.NaN];
    expect(crossedMean([runs[0]!, nothing], prompts)).toEqual(crossedMean([runs[0]!], prompts));
  });

  it('reject runs of different items, no run, and a single prompt', () => {
    expect(() => crossedMean([[1, 2], [1]], ['x', 'y'])).toThrow(/received 1 and 2 values/);
    expect(() => crossedMean([], ['x'])).toThrow(/at least 1 values, received 0/);
    expect(() => crossedMean([[1], [2]], ['x'])).toThrow(/at least 2 values, received 1/);
  });
});
