import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MallowsError } from '../errors.ts';
import { mean } from '../stats/index.ts';
import { applyDispersion, type DispersionRow, fitDispersion } from './dispersion.ts';

const entropyRow = (id: string, chosenEntropy: number, rejectedEntropy = chosenEntropy): DispersionRow => ({
  id,
  chosenEntropy,
  rejectedEntropy,
});

/** log n = 4, so that entropies 1, 2 and 1 + 3 give h = ¼, ½ and ½. */
const vocabularySize = Math.exp(4);
const rows = [entropyRow('a', 1), entropyRow('b', 2), entropyRow('c', 1, 3)];

describe('dispersion from entropies', () => {
  it('is −φ* log h with mean 1: a worked example', () => {
    const { weights, model, summary, kept } = fitDispersion(rows, { source: 'entropy', vocabularySize });
    // t = 2 ln 2, ln 2, ln 2: mean 4/3 ln 2
    expect(model.phiStar).toBeCloseTo(3 / (4 * Math.LN2), 13);
    expect([...weights].map((w) => +w.toFixed(12))).toEqual([1.5, 0.75, 0.75]);
    expect([...kept]).toEqual([0, 1, 2]);
    expect(summary).toMatchObject({ phiStar: model.phiStar, vocabularySize, count: 3 });
    expect(summary.skew).toBeCloseTo(Math.sqrt(3), 12); // the skewness of any (high, low, low)
  });

  it('has mean 1 over training pairs and never clips', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1e-9, max: 3.999, noNaN: true }), { minLength: 1, maxLength: 30 }),
        (entropies) => {
          const fit = fitDispersion(
            entropies.map((entropy, i) => entropyRow(String(i), entropy)),
            { source: 'entropy', vocabularySize },
          );
          expect(mean(fit.weights)).toBeCloseTo(1, 10);
          entropies.forEach((entropy, i) => {
            expect(fit.weights[i]).toBeCloseTo(-fit.model.phiStar * Math.log(entropy / 4), 10);
          });
        },
      ),
    );
  });

  it('gives evaluation pairs the training φ*', () => {
    const { model } = fitDispersion(rows, { source: 'entropy', vocabularySize });
    const saved = JSON.parse(JSON.stringify(model)) as typeof model;
    const { weights } = applyDispersion(saved, [entropyRow('d', 1)]);
    expect(weights[0]).toBeCloseTo(1.5, 12);
  });

  it('names rows without entropies, and rows whose w is not a positive number', () => {
    expect(() => fitDispersion([...rows, { id: 'bare' }], { source: 'entropy', vocabularySize })).toThrow(
      /1 pair has no entropies: 'bare'/,
    );
    const bad = [
      { ...entropyRow('zero', 0), at: { file: 'pairs.jsonl', line: 7 } },
      entropyRow('uniform', 4),
      entropyRow('nan', Number.NaN),
    ];
    try {
      fitDispersion([...rows, ...bad], { source: 'entropy', vocabularySize });
      expect.unreachable();
    } catch (error) {
      const { code, message, at } = error as MallowsError;
      expect(code).toBe('non-finite-dispersion');
      expect(message).toContain("'zero' (pairs.jsonl:7), 'uniform', 'nan'");
      expect(at).toEqual({ file: 'pairs.jsonl', line: 7 });
    }
    expect(() => fitDispersion(rows, { source: 'entropy' })).toThrow(/received n = undefined/);
  });

  it('shortens a long list of rows', () => {
    const many = Array.from({ length: 12 }, (_, i) => ({ id: `row-${i}` }));
    expect(() => fitDispersion(many, { source: 'entropy', vocabularySize })).toThrow(/'row-4' and 7 more/);
  });
});

describe('dispersion from votes', () => {
  const voted = (id: string, chosen: number, rejected: number, tie = 0): DispersionRow => ({
    id,
    votes: { chosen, rejected, tie },
  });

  it('is the log-odds of the smoothed vote, scaled to mean 1', () => {
    const { weights, model } = fitDispersion([voted('a', 3, 0), voted('b', 2, 1), voted('c', 2, 0, 1)], {
      source: 'votes',
    });
    const t = [Math.log(3.5 / 0.5), Math.log(2.5 / 1.5), Math.log(3 / 1)];
    expect(model.phiStar).toBeCloseTo(1 / mean(t), 12);
    weights.forEach((w, i) => {
      expect(w).toBeCloseTo(t[i]! / mean(t), 12);
    });
  });

  it('leaves contested pairs out and says which, unless a floor is given', () => {
    const pairs = [voted('agreed', 3, 0), voted('tied', 1, 1, 1), voted('against', 1, 2), voted('b', 2, 1)];
    const left = fitDispersion(pairs, { source: 'votes' });
    expect([...left.kept]).toEqual([0, 3]);
    expect(left.contested).toEqual(['tied', 'against']);
    // Evaluation keeps them, with a weight of next to nothing.
    const evaluated = applyDispersion(left.model, pairs);
    expect([...evaluated.kept]).toEqual([0, 1, 2, 3]);
    expect(evaluated.contested).toEqual(left.contested);
    expect(evaluated.weights[0]).toBe(left.weights[0]);
    for (const row of [1, 2]) expect(evaluated.weights[row]).toBeCloseTo(0, 5);
    expect(Math.min(...evaluated.weights)).toBeGreaterThan(0);
    expect(mean(left.weights)).toBeCloseTo(1, 12);
    const floored = fitDispersion(pairs, { source: 'votes', floor: 0.1 });
    expect([...floored.kept]).toEqual([0, 1, 2, 3]);
    expect(floored.weights[1]).toBeCloseTo(0.1 * floored.model.phiStar, 12);
    expect(floored.weights[2]).toBe(floored.weights[1]);
  });

  it('rejects negative counts, missing votes, and data in which nobody agrees', () => {
    expect(() => fitDispersion([voted('a', -1, 2)], { source: 'votes' })).toThrow(/not numbers ≥ 0: 'a'/);
    expect(() => fitDispersion([{ id: 'a' }], { source: 'votes' })).toThrow(/has no votes/);
    expect(() => fitDispersion([voted('a', 1, 2)], { source: 'votes' })).toThrow(/None of 1 pairs/);
  });
});

describe('dispersion from a column', () => {
  it('is −ln φ scaled to mean 1', () => {
    const { weights } = fitDispersion(
      [
        { id: 'a', dispersion: Math.exp(-1) },
        { id: 'b', dispersion: Math.exp(-3) },
      ],
      { source: 'column' },
    );
    expect(weights[0]).toBeCloseTo(0.5, 12);
    expect(weights[1]).toBeCloseTo(1.5, 12);
  });

  it('rejects φ outside (0, 1)', () => {
    for (const dispersion of [0, 1, -0.2, 1.2, Number.NaN]) {
      expect(() => fitDispersion([{ id: 'a', dispersion }], { source: 'column' })).toThrow(
        /outside \(0, 1\): 'a'/,
      );
    }
  });
});

describe('no dispersion', () => {
  it('is 1 everywhere', () => {
    const { weights, model } = fitDispersion([{ id: 'a' }, { id: 'b' }], { source: 'none' });
    expect([...weights]).toEqual([1, 1]);
    expect(model.phiStar).toBe(1);
  });
});

describe('the shuffled control', () => {
  it('keeps the weights, moves them to other prompts, and repeats for a seed', () => {
    const many = Array.from({ length: 40 }, (_, i) => entropyRow(String(i), 0.1 + i * 0.09));
    const plain = fitDispersion(many, { source: 'entropy', vocabularySize });
    const shuffled = fitDispersion(many, { source: 'entropy', vocabularySize, shuffle: 1 });
    expect(shuffled.weights).not.toEqual(plain.weights);
    expect(shuffled.weights.slice().sort()).toEqual(plain.weights.slice().sort());
    expect(fitDispersion(many, { source: 'entropy', vocabularySize, shuffle: 1 })).toEqual(shuffled);
    expect(fitDispersion(many, { source: 'entropy', vocabularySize, shuffle: 2 }).weights).not.toEqual(
      shuffled.weights,
    );
    expect(applyDispersion(shuffled.model, many).weights.slice().sort()).toEqual(
      plain.weights.slice().sort(),
    );
  });
});
