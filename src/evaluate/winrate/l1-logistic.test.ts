import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitL1Logistic, type LogisticProblem, weightedLogLoss } from './l1-logistic.ts';
import {
  chooseByCrossValidation,
  crossValidationScores,
  groupFolds,
  PENALTY_GRID,
} from './length-controlled.ts';

interface Fixture {
  features: number[][];
  labels: number[];
  weights: number[];
  grid: number[];
  coefficients: number[][];
  folds: number[];
  scores: number[];
  groupFoldsOf13: number[];
}

const fixture = JSON.parse(
  readFileSync(new URL('./fixtures/l1-logistic.json', import.meta.url), 'utf8'),
) as Fixture;
const problem: LogisticProblem = {
  features: fixture.features.map((column) => Float64Array.from(column)),
  labels: Float64Array.from(fixture.labels),
  weights: Float64Array.from(fixture.weights),
};

function constantProblem(label: number, n: number): LogisticProblem {
  return {
    features: [new Float64Array(n).fill(1)],
    labels: new Float64Array(n).fill(label),
    weights: new Float64Array(n).fill(1),
  };
}

describe('fitL1Logistic', () => {
  it('solves the one-feature problem that can be solved by hand', () => {
    // Stationary: C·n·(σ(w) − 0.8) + 1 = 0, so σ(w) = 0.8 − 1/(C·n).
    const c = 0.5;
    const n = 40;
    const [w] = fitL1Logistic(constantProblem(0.8, n), c);
    expect(1 / (1 + Math.exp(-w!))).toBeCloseTo(0.8 - 1 / (c * n), 9);
  });

  it('keeps a coefficient at exactly zero while the penalty outweighs the slope', () => {
    // At w = 0 the slope is C·n·(0.5 − 0.8) = −0.3·C·n; below 1 in size, zero is the optimum.
    expect(fitL1Logistic(constantProblem(0.8, 10), 0.33)[0]).toBe(0);
    expect(fitL1Logistic(constantProblem(0.8, 10), 0.34)[0]).toBeGreaterThan(0);
  });

  it('agrees with scikit-learn (liblinear, tight tolerance) over the whole grid', () => {
    fixture.grid.forEach((c, i) => {
      fitL1Logistic(problem, c).forEach((value, j) => {
        expect(value, `C = ${c}, coefficient ${j}`).toBeCloseTo(fixture.coefficients[i]![j]!, 6);
      });
    });
  });

  it('satisfies the optimality conditions of an L1 problem on random data', () => {
    const row = fc.record({
      x: fc.double({ min: -3, max: 3, noNaN: true }),
      z: fc.double({ min: -1, max: 1, noNaN: true }),
      label: fc.double({ min: 0, max: 1, noNaN: true }),
      weight: fc.double({ min: 0.05, max: 2, noNaN: true }),
    });
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 2, maxLength: 30 }),
        fc.double({ min: 0.01, max: 100, noNaN: true }),
        (rows, c) => {
          const features = [Float64Array.from(rows, (r) => r.x), Float64Array.from(rows, (r) => r.z)];
          const labels = Float64Array.from(rows, (r) => r.label);
          const weights = Float64Array.from(rows, (r) => r.weight);
          const w = fitL1Logistic({ features, labels, weights }, c);
          features.forEach((column, j) => {
            let slope = 0;
            rows.forEach((r, i) => {
              const z = w[0]! * r.x + w[1]! * r.z;
              slope += c * r.weight * column[i]! * (1 / (1 + Math.exp(-z)) - r.label);
            });
            // Separable rows push a coefficient far out, where the loss is flat: hence the tolerance.
            if (w[j] === 0) expect(Math.abs(slope)).toBeLessThanOrEqual(1 + 1e-3);
            else expect(Math.abs(slope + Math.sign(w[j]!))).toBeLessThan(1e-3);
          });
        },
      ),
      { seed: 6, numRuns: 200 },
    );
  });
});

describe('cross-validation', () => {
  it('deals rows out as scikit-learn’s GroupKFold', () => {
    expect([...groupFolds(13, 5)]).toEqual(fixture.groupFoldsOf13);
    expect([...groupFolds(60, 5)]).toEqual(fixture.folds);
  });

  it('gives scikit-learn’s held-out scores and choice', () => {
    const foldOf = Int32Array.from(fixture.folds);
    crossValidationScores(problem, foldOf, fixture.grid).forEach((score, i) => {
      expect(score).toBeCloseTo(fixture.scores[i]!, 8);
    });
    const best = fixture.scores.indexOf(Math.max(...fixture.scores));
    expect(chooseByCrossValidation(problem, foldOf, fixture.grid)).toBe(fixture.grid[best]);
  });

  it('has upstream’s grid', () => {
    PENALTY_GRID.forEach((c, i) => {
      expect(c / fixture.grid[i]!).toBeCloseTo(1, 12);
    });
  });

  it('scores a fair coin at ln 2', () => {
    const coin = constantProblem(0.5, 7);
    expect(weightedLogLoss(coin, new Float64Array(1))).toBeCloseTo(Math.LN2, 12);
  });
});
