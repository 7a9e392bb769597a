import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../stats/index.ts';
import { drawRanking, kendallDistance, nextItemEntropy } from './mallows-model.ts';
import { writeEstimateReport } from './report.ts';
import { runEstimate } from './run.ts';

describe('the Mallows-φ model', () => {
  it('is drawn with probabilities ∝ φ^d: all 24 rankings of four items', () => {
    const phi = 0.6;
    const stream = RandomStream.create(2);
    const draws = 60_000;
    const counts = new Map<string, number>();
    for (let i = 0; i < draws; i++) {
      const key = drawRanking(4, phi, stream).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const total = [...counts.keys()].reduce(
      (sum, key) => sum + phi ** kendallDistance([...key].map(Number)),
      0,
    );
    let chiSquare = 0;
    for (const [key, count] of counts) {
      const expected = (draws * phi ** kendallDistance([...key].map(Number))) / total;
      chiSquare += (count - expected) ** 2 / expected;
    }
    expect(chiSquare).toBeLessThan(49.73); // P = .001 at 23 degrees of freedom
  });

  it('counts inversions', () => {
    expect(kendallDistance([0, 1, 2])).toBe(0);
    expect(kendallDistance([2, 0, 1])).toBe(2);
    expect(kendallDistance([3, 2, 1, 0])).toBe(6);
  });

  it('has a next-item entropy of log k for equal odds, 0 for one item, and adds up to that of whole rankings', () => {
    expect(nextItemEntropy(5, 1)).toBeCloseTo(Math.log(5), 12);
    expect(nextItemEntropy(1, 0.3)).toBeCloseTo(0, 12);
    expect(nextItemEntropy(2, 0.5)).toBeCloseTo(Math.log(3) - (2 / 3) * Math.log(2), 12);
    // Three items at φ = ½: Z = 1.5 · 1.75, and E[d] from the six rankings' distances 0, 1, 1, 2, 2, 3.
    const z = 1.5 * 1.75;
    const expectedDistance = (2 * 0.5 + 2 * 2 * 0.25 + 3 * 0.125) / z;
    const whole = Math.log(z) + expectedDistance * Math.log(2);
    expect(nextItemEntropy(3, 0.5) + nextItemEntropy(2, 0.5)).toBeCloseTo(whole, 12);
  });
});

describe('the experiment', () => {
  const small = { items: 5, negLogPhis: [0.2, 0.6, 1, 1.4, 1.8, 2.2], rankings: 1500, prompts: 10, seed: 3 };

  it('finds an estimate that rises with the true −log φ, and repeats for a seed', () => {
    const report = runEstimate(small);
    const means = report.points.map(({ drawn }) => drawn.mean);
    for (let i = 1; i < means.length; i++) expect(means[i]!).toBeGreaterThan(means[i - 1]!);
    expect(means.reduce((sum, value) => sum + value, 0) / means.length).toBeCloseTo(1, 10);
    const spearman = report.correlations.filter(({ kind }) => kind === 'spearman');
    expect(spearman.map(({ interval }) => interval.estimate)).toEqual([1, 1]);
    expect(report.claims[0]!.verdict).toBe('reproduced');
    expect(runEstimate(small)).toEqual(report);
  });

  it('has the model’s estimate in closed form', () => {
    const { points, phiStar } = runEstimate(small);
    const { phi, model } = points[2]!;
    const entropy = [5, 4, 3, 2, 1].reduce((sum, left) => sum + nextItemEntropy(left, phi), 0) / 5;
    expect(model).toBeCloseTo(-phiStar.model * Math.log(entropy / Math.log(5)), 12);
  });

  it('writes the figure, a page and its numbers', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'estimate-'));
    try {
      const report = runEstimate(small);
      const paths = await writeEstimateReport(directory, report);
      expect(paths.every((path) => existsSync(path))).toBe(true);
      expect(JSON.parse(readFileSync(paths[0]!, 'utf8'))).toEqual(report);
      expect(readFileSync(paths[1]!, 'utf8')).toContain('Figure 3');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
