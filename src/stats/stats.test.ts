import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intervalOverPrompts } from './bootstrap.ts';
import * as stats from './index.ts';
import { win } from './summary.ts';

/** Written by scripts/fixtures/stats.py. */
const scipy = JSON.parse(readFileSync(new URL('./fixtures/scipy.json', import.meta.url), 'utf8'));

function expectClose(actual: number, expected: number, relative = 1e-11): void {
  expect(Math.abs(actual - expected), `${actual} against ${expected}`).toBeLessThanOrEqual(
    relative * Math.max(Math.abs(expected), 1e-300),
  );
}

describe('random streams', () => {
  it('repeat for a seed, differ between seeds and names', () => {
    const draw = (seed: number | string, name?: string) => stats.RandomStream.create(seed, name).uniform();
    expect(draw(1)).toBe(draw(1));
    const values = [draw(1), draw(2), draw('1'), draw(1, 'a'), draw(1, 'b')];
    expect(new Set(values).size).toBe(values.length);
  });

  it('continue exactly from a saved state, after JSON', () => {
    const stream = stats.RandomStream.create(3, 'data');
    stream.permutation(17);
    const saved = JSON.parse(JSON.stringify(stream.state())) as stats.RandomState;
    const expected = [stream.uniform(), stream.integer(1000), stream.normal()];
    const resumed = stats.RandomStream.fromState(saved);
    expect([resumed.uniform(), resumed.integer(1000), resumed.normal()]).toEqual(expected);
    expect(resumed.stream('x').uniform()).toBe(stream.stream('x').uniform());
  });

  it('give a sub-stream that does not depend on draws from its parent', () => {
    const drawn = stats.RandomStream.create(5);
    drawn.uniform();
    expect(drawn.stream('child').uniform()).toBe(stats.RandomStream.create(5).stream('child').uniform());
  });

  it('reject a damaged state', () => {
    expect(() => stats.RandomStream.fromState({ key: 'k', generator: [1, 2] })).toThrow(
      /has 2 words; expected 4/,
    );
  });

  it('are uniform, normal and unbiased, also over neighbouring small seeds', () => {
    const firsts = Array.from({ length: 4000 }, (_, seed) => stats.RandomStream.create(seed).uniform());
    const counts = stats.histogram(firsts, 10, [0, 1]).map((bin) => bin.count);
    const chiSquare = counts.reduce((total, count) => total + (count - 400) ** 2 / 400, 0);
    expect(chiSquare).toBeLessThan(27.88); // P = 0.001 at 9 degrees of freedom
    const stream = stats.RandomStream.create(0);
    const normals = Array.from({ length: 20_000 }, () => stream.normal());
    expect(Math.abs(stats.mean(normals))).toBeLessThan(0.025);
    expect(Math.abs(stats.standardDeviation(normals) - 1)).toBeLessThan(0.02);
  });

  it('permute: every index once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), fc.integer(), (size, seed) => {
        const permutation = stats.RandomStream.create(seed).permutation(size);
        expect([...permutation].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
      }),
    );
  });
});

describe('summaries', () => {
  it('agree with numpy and scipy', () => {
    const { mean, sd, skew } = stats.summarize(scipy.first);
    expectClose(mean, scipy.summary.mean);
    expectClose(sd, scipy.summary.sd);
    expectClose(skew, scipy.summary.skew);
    const quantiles = stats.quantiles(scipy.first, scipy.summary.probabilities);
    quantiles.forEach((value, i) => void expectClose(value, scipy.summary.quantiles[i]));
  });

  it('sum without losing small terms beside large ones', () => {
    expect(stats.sum([1e100, 1, -1e100])).toBe(1);
    expect(stats.sum([Number.POSITIVE_INFINITY, 1])).toBe(Number.POSITIVE_INFINITY);
  });

  it('bin every value once, the maximum in the last bin', () => {
    const bins = stats.histogram([0, 0.5, 1, 1, 2], 4);
    expect(bins.map((bin) => bin.count)).toEqual([1, 1, 2, 1]);
    expectClose(stats.sum(bins.map((bin) => bin.density * (bin.high - bin.low))), 1);
    expect(stats.histogram([3, 3], 2).map((bin) => bin.count)).toEqual([0, 2]);
  });
});

describe('distributions', () => {
  it('agree with scipy', () => {
    for (const [t, df, p] of scipy.studentTwoSided) expectClose(stats.studentTwoSided(t, df), p, 1e-10);
    for (const [p, df, t] of scipy.studentQuantile) expectClose(stats.studentQuantile(p, df), t, 1e-11);
    for (const [z, p] of scipy.normalTwoSided) expectClose(stats.normalTwoSided(z), p, 1e-12);
    for (const [p, z] of scipy.normalQuantile) expectClose(stats.normalQuantile(p), z, 1e-11);
  });
});

describe('tests', () => {
  it('t-tests agree with scipy', () => {
    for (const [result, expected] of [
      [stats.pairedTTest(scipy.first, scipy.second), scipy.pairedTTest],
      [stats.welchTTest(scipy.first, scipy.other), scipy.welchTTest],
    ] as const) {
      expectClose(result.statistic, expected.statistic);
      expectClose(result.pValue, expected.pValue);
      expectClose(result.df, expected.df);
      expectClose(result.interval![0], expected.interval[0], 1e-10);
      expectClose(result.interval![1], expected.interval[1], 1e-10);
    }
  });

  it('t-tests say nothing of values without a spread, up to rounding', () => {
    const none = { statistic: Number.NaN, pValue: Number.NaN, interval: null };
    expect(stats.pairedTTest([25 / 48, 26 / 48], [24 / 48, 25 / 48])).toMatchObject(none);
    expect(stats.pairedTTest([0.75, 0.5], [0.5, 0.25])).toMatchObject({ ...none, difference: 0.25 });
    expect(stats.pairedTTest([1, 2], [1, 2])).toMatchObject({ ...none, difference: 0 });
    expect(stats.welchTTest([2, 2], [1, 1, 1])).toMatchObject({ ...none, difference: 1 });
    expect(stats.pairedTTest([1e-9, 3e-9], [0, 0]).interval).not.toBeNull();
  });

  it('reads the paper: ten generation seeds, 40.65 ± 1.92 against 39.55 ± 2.29, are not significant', () => {
    const standard = [-1.5, -1, -0.6, -0.2, 0, 0.1, 0.3, 0.6, 1, 1.3];
    const sd = stats.standardDeviation(standard);
    const centre = stats.mean(standard);
    const sample = (mean: number, spread: number) => standard.map((z) => mean + ((z - centre) / sd) * spread);
    const { statistic, pValue } = stats.welchTTest(sample(40.65, 1.92), sample(39.55, 2.29));
    expect(statistic).toBeCloseTo(1.164, 3);
    expect(pValue).toBeGreaterThan(0.2);
  });

  it('sign, signed-rank and permutation tests agree with scipy', () => {
    const sign = stats.signTest(scipy.first, scipy.second);
    expect(sign.statistic).toBe(scipy.signTest.statistic);
    expectClose(sign.pValue, scipy.signTest.pValue);
    const exact = stats.wilcoxonSignedRank(scipy.first, scipy.second);
    expect(exact.statistic).toBe(scipy.wilcoxonExact.statistic);
    expectClose(exact.pValue, scipy.wilcoxonExact.pValue);
    const tied = stats.wilcoxonSignedRank(scipy.longFirst, scipy.longSecond);
    expect(tied.statistic).toBe(scipy.wilcoxonTied.statistic);
    expectClose(tied.pValue, scipy.wilcoxonTied.pValue);
    const permutation = stats.pairedPermutationTest(scipy.first.slice(0, 9), scipy.second.slice(0, 9));
    expectClose(permutation.pValue, scipy.pairedPermutation.pValue);
  });

  it('the exact signed-rank test with ties counts sign patterns', () => {
    // Ranks of |1, 1, 2, -3|: 1.5, 1.5, 3, 4; W = 4. Patterns with a rank sum ≤ 4: {}, 1.5, 1.5, 3, 1.5 + 1.5, 4.
    const { statistic, pValue } = stats.wilcoxonSignedRank([1, 1, 2, 0], [0, 0, 0, 3]);
    expect(statistic).toBe(4);
    expectClose(pValue, (2 * 6) / 16);
  });

  it('sampled permutation tests come near the t-test and repeat for a seed', () => {
    const sampled = stats.pairedPermutationTest(scipy.first, scipy.second, { seed: 1 });
    expect(Math.abs(sampled.pValue - scipy.pairedTTest.pValue)).toBeLessThan(0.02);
    expect(stats.pairedPermutationTest(scipy.first, scipy.second, { seed: 1 })).toEqual(sampled);
    const welch = stats.permutationTest(scipy.first, scipy.other, { seed: 1 });
    expect(Math.abs(welch.pValue - scipy.welchTTest.pValue)).toBeLessThan(0.05);
  });

  it('adjusts p-values', () => {
    expect(stats.holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
    stats
      .benjaminiHochberg(scipy.pValues)
      .forEach((value, i) => void expectClose(value, scipy.benjaminiHochberg[i]));
  });

  it('names unequal lengths and too few values', () => {
    expect(() => stats.pairedTTest([1, 2], [1])).toThrow(/received 2 and 1 values/);
    expect(() => stats.welchTTest([1], [1, 2])).toThrow(/at least 2 values, received 1/);
  });
});

describe('correlation', () => {
  it('agrees with scipy, ties included', () => {
    expectClose(stats.pearson(scipy.first, scipy.second), scipy.correlation.pearson);
    expectClose(stats.spearman(scipy.longFirst, scipy.longSecond), scipy.correlation.spearman, 1e-10);
    expectClose(stats.kendall(scipy.longFirst, scipy.longSecond), scipy.correlation.kendall);
  });

  it('has an interval that contains the estimate and repeats for a seed', () => {
    const interval = stats.correlate('spearman', scipy.first, scipy.second, { resamples: 500, seed: 2 });
    expect(interval.low).toBeLessThan(interval.estimate);
    expect(interval.high).toBeGreaterThan(interval.estimate);
    expect(stats.correlate('spearman', scipy.first, scipy.second, { resamples: 500, seed: 2 })).toEqual(
      interval,
    );
  });

  it('leaves out resamples without spread, and says so', () => {
    const { undefinedResamples, low } = stats.correlate('pearson', [0, 0, 1], [0, 0, 1], { resamples: 300 });
    expect(undefinedResamples).toBeGreaterThan(0);
    expect(low).toBeCloseTo(1, 12);
  });
});

describe('bootstrap', () => {
  it('percentile and BCa intervals agree with scipy up to resampling noise', () => {
    const percentile = stats.bootstrap(scipy.first, { resamples: 50_000, seed: 4 });
    expect(Math.abs(percentile.low - scipy.percentile[0])).toBeLessThan(0.01);
    expect(Math.abs(percentile.high - scipy.percentile[1])).toBeLessThan(0.01);
    const bca = stats.bootstrap(scipy.first, {
      statistic: (sample) => stats.mean(sample.map(Math.exp)),
      method: 'bca',
      resamples: 50_000,
      seed: 4,
    });
    expect(Math.abs(bca.low - scipy.bca[0])).toBeLessThan(0.03);
    expect(Math.abs(bca.high - scipy.bca[1])).toBeLessThan(0.12); // right tail of an exponential mean
  });

  it('a paired interval is that of the differences', () => {
    const paired = stats.pairedBootstrap([3, 5, 9, 4], [1, 2, 3, 4], { seed: 9 });
    expect(paired).toEqual(stats.bootstrap([2, 3, 6, 0], { seed: 9 }));
  });

  it('over clusters, worked by hand: resamples of two clusters are four cases', () => {
    // Clusters {0, 3} and {9}: the mean is 4, and resamples give 1.5 (¼), 4 (½) and 9 (¼).
    const clustered = stats.clusterBootstrap([0, 9, 3], ['x', 'y', 'x'], {
      resamples: 4000,
      confidence: 0.4,
    });
    expect(clustered).toMatchObject({ estimate: 4, low: 4, high: 4 });
    expect(clustered.standardError).toBeCloseTo(Math.sqrt((2.5 ** 2 + 5 ** 2) / 4 - 0.625 ** 2), 1);
    const whole = stats.clusterBootstrap([0, 9, 3], ['x', 'y', 'x'], { resamples: 4000 });
    expect([whole.low, whole.high]).toEqual([1.5, 9]);
    expect(() => stats.clusterBootstrap([1, 2], ['x', 'x'])).toThrow(/at least 2 values, received 1/);
    expect(() => stats.clusterBootstrap([1, 2], ['x'])).toThrow(/received 2 and 1 values/);
  });

  it('over clusters of one is the plain bootstrap', () => {
    const { low, high } = stats.clusterBootstrap(scipy.first, Object.keys(scipy.first), { seed: 5 });
    const plain = stats.bootstrap(scipy.first, { seed: 5 });
    expectClose(low, plain.low);
    expectClose(high, plain.high);
  });

  it('over clusters covers the mean about as often as it claims; over single values far less', () => {
    const stream = stats.RandomStream.create(12);
    const covered = { clusters: 0, singles: 0 };
    for (let trial = 0; trial < 200; trial++) {
      const prompts = Array.from({ length: 40 }, (_, prompt) =>
        new Array<number>(1 + (prompt % 7)).fill(prompt),
      ).flat();
      const offsets = Float64Array.from({ length: 40 }, () => stream.normal());
      const values = prompts.map((prompt) => offsets[prompt]! + 0.5 * stream.normal());
      const options = { resamples: 300, seed: trial };
      const covers = ({ low, high }: stats.Interval) => (low <= 0 && 0 <= high ? 1 : 0);
      covered.clusters += covers(stats.clusterBootstrap(values, prompts, options));
      covered.singles += covers(stats.bootstrap(values, options));
    }
    expect(covered.clusters).toBeGreaterThan(200 * 0.88);
    expect(covered.clusters).toBeLessThanOrEqual(199);
    expect(covered.singles).toBeLessThan(200 * 0.75);
  });
});

it('counts a tie as half a win', () => {
  expect([win(2, 1), win(1, 1), win(1, 2)]).toEqual([1, 0.5, 0]);
});

it('has an interval over prompts from two of them on', () => {
  expect(intervalOverPrompts('loss', [1, 2], ['a', 'a'])).toEqual({});
  expect(intervalOverPrompts('loss', [1, 2], ['a', 'b'])).toEqual({ 'loss/low': 1, 'loss/high': 2 });
});
