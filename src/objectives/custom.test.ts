import { describe, expect, it } from 'vitest';
import * as library from '../index.ts';
import type { PairBatch } from './contract.ts';
import { createObjective, defineObjective } from './index.ts';

const batch: PairBatch = {
  chosen: {
    logps: Float64Array.of(-20, -31.5, -4),
    referenceLogps: Float64Array.of(-22, -30, -4.5),
    tokens: Float64Array.of(10, 20, 3),
  },
  rejected: {
    logps: Float64Array.of(-25, -28, -9),
    referenceLogps: Float64Array.of(-24, -29, -7),
    tokens: Float64Array.of(12, 15, 4),
  },
  w: Float64Array.of(0.7, 1.1, 1.2),
  scoreGaps: Float64Array.of(1, 2, 3),
};

describe('a custom objective', () => {
  const gap = (pair: Parameters<Parameters<typeof defineObjective>[0]['loss']>[0]): number =>
    pair.chosen.logp - pair.chosen.referenceLogp - (pair.rejected.logp - pair.rejected.referenceLogp);

  it('from a loss alone agrees with the built-in one, slopes included', () => {
    const custom = defineObjective({
      name: 'my-theta',
      beta: 0.1,
      loss: (pair) => Math.log1p(Math.exp(-0.1 * pair.w * gap(pair))),
    });
    const mine = custom.evaluate(batch);
    const builtIn = createObjective({ name: 'mallows-theta', beta: 0.1 }).evaluate(batch);
    for (const field of Object.keys(builtIn) as (keyof typeof builtIn)[]) {
      builtIn[field].forEach((value, i) => {
        expect(Math.abs(mine[field][i]! - value)).toBeLessThan(1e-9);
      });
    }
    expect(custom).toMatchObject({ needsReference: true, usesDispersion: true, extras: [] });
  });

  it('may return its own slopes, which are used as they are', () => {
    const custom = defineObjective({
      name: 'constant-push',
      loss: () => ({ loss: 0.5, chosenSlope: -3, rejectedSlope: 4 }),
    });
    const { losses, chosenSlopes, rejectedSlopes } = custom.evaluate(batch);
    expect([losses[0], chosenSlopes[1], rejectedSlopes[2]]).toEqual([0.5, -3, 4]);
  });

  it('without a reference sees none', () => {
    const custom = defineObjective({
      name: 'likelihood',
      needsReference: false,
      loss: ({ chosen, scoreGap }) => -(scoreGap * chosen.logp) / chosen.tokens,
    });
    const { referenceLogps: _, ...chosen } = batch.chosen;
    const result = custom.evaluate({ ...batch, chosen });
    expect(result.losses[1]).toBeCloseTo((2 * 31.5) / 20, 12);
    expect(result.chosenSlopes[1]).toBeCloseTo(-2 / 20, 9);
    expect(result.rejectedSlopes[1]).toBe(0);
    expect(result.chosenRewards[1]).toBe(-31.5);
  });

  it('says when a reference is missing, and when slopes come and go', () => {
    const dpo = defineObjective({ name: 'mine', loss: gap });
    const { referenceLogps: _, ...chosen } = batch.chosen;
    expect(() => dpo.evaluate({ ...batch, chosen })).toThrow(/'mine' needs reference log-probabilities/);
    let calls = 0;
    const fickle = defineObjective({
      name: 'fickle',
      loss: () => (calls++ === 0 ? 1 : { loss: 1, chosenSlope: 0, rejectedSlope: 0 }),
    });
    expect(() => fickle.evaluate(batch)).toThrow(/returned slopes only sometimes/);
  });
});

describe('a composition of one’s own', () => {
  it('takes its parts from the package', () => {
    const { compose, links, margins, scales, scores, terms } = library;
    const objective = compose({
      name: 'hinge-per-token',
      beta: 2,
      score: scores.perToken(scores.logRatio),
      margin: margins.constantMargin(0.1),
      scale: scales.constantScale(2),
      link: links.hinge,
      terms: [terms.chosenNll(0.2)],
      dispersionEnters: 'scale',
    });
    expect(objective).toMatchObject({ needsReference: true, usesDispersion: true, batchWide: false });
    const { losses, chosenSlopes } = objective.evaluate(batch);
    // First pair: scores 2/10 and −1/12, so the gap is 17/60; w = 0.7.
    expect(losses[0]).toBeCloseTo(1 - 0.7 * 2 * (17 / 60 - 0.1) + 0.2 * (20 / 10), 12);
    expect(chosenSlopes[0]).toBeCloseTo((-0.7 * 2) / 10 - 0.2 / 10, 12);
  });
});
