import { describe, expect, test } from 'vitest';
import { tensor } from '../engine/index.ts';
import { EngineError, UsageError } from '../errors.ts';
import { createSampler, type SamplingOptions } from './sampler.ts';

/** Logits whose softmax is 0.1, 0.4, 0.2, 0.3. */
const PROBABILITIES = [0.1, 0.4, 0.2, 0.3];
const logits = (rows = 1) =>
  tensor(Array.from({ length: rows }, () => PROBABILITIES.map(Math.log)).flat(), { shape: [rows, 4] });

/** The token for each of `uniforms`. */
function draws(
  options: SamplingOptions,
  uniforms: readonly number[],
  history: readonly number[] = [],
): number[] {
  const histories = uniforms.map(() => history);
  return [...createSampler(options).choose(logits(uniforms.length), uniforms, histories).ids];
}

describe('createSampler', () => {
  test('greedy takes the largest', () => {
    expect(draws({ greedy: true }, [0.01, 0.99])).toEqual([1, 1]);
  });

  test('plain sampling inverts the cumulative distribution in vocabulary order', () => {
    // Cumulative: .1, .5, .7, 1.
    expect(draws({}, [0, 0.09, 0.11, 0.49, 0.51, 0.69, 0.71, 0.999999])).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test('temperature sharpens before anything is filtered', () => {
    // At 0.5 probabilities go as their squares: 1, 16, 4, 9 of 30.
    expect(draws({ temperature: 0.5 }, [0.03, 0.04, 0.56, 0.58, 0.69, 0.71])).toEqual([0, 1, 1, 2, 2, 3]);
  });

  test('top-k keeps k tokens, in order of falling probability', () => {
    // 0.4 and 0.3 of 0.7.
    expect(draws({ topK: 2 }, [0, 0.57, 0.58, 0.999])).toEqual([1, 1, 3, 3]);
    expect(draws({ topK: 99 }, [0.95])).toEqual([0]);
  });

  test('top-p keeps the fewest tokens that reach p', () => {
    expect(draws({ topP: 0.39 }, [0, 0.999])).toEqual([1, 1]);
    // 0.4 + 0.3 reach 0.65; drawn in proportion 4 : 3.
    expect(draws({ topP: 0.65 }, [0.57, 0.58, 0.999])).toEqual([1, 3, 3]);
    expect(draws({ topP: 0.85 }, [0.999])).toEqual([2]);
  });

  test('top-p counts within what top-k left, as in transformers', () => {
    // Of 0.7 left by top-k 2, 0.4 is 57 %.
    expect(draws({ topK: 2, topP: 0.5 }, [0.999])).toEqual([1]);
    expect(draws({ topK: 2, topP: 0.6 }, [0.999])).toEqual([3]);
  });

  test('top-p reaches beyond the first candidates of a flat distribution', () => {
    const vocabulary = 3000;
    const flat = tensor(new Float32Array(vocabulary), { shape: [1, vocabulary] });
    const sampler = createSampler({ topP: 0.9 });
    const ids = Array.from({ length: 40 }, (_, at) => sampler.choose(flat, [at / 40], [[]]).ids[0]!);
    expect(new Set(ids).size).toBe(40);
  });

  test('the repetition penalty divides positive and multiplies negative logits', () => {
    // All are negative: doubling log 0.4 makes 0.16, below 0.3.
    expect(draws({ greedy: true, repetitionPenalty: 2 }, [0], [1])).toEqual([3]);
    const positive = tensor([3, 2], { shape: [1, 2] });
    const choose = (history: number[]) =>
      createSampler({ greedy: true, repetitionPenalty: 2 }).choose(positive, [0], [history]).ids[0];
    expect([choose([]), choose([0]), choose([0, 0, 1])]).toEqual([0, 1, 0]);
  });

  test("log-probabilities are the model's own", () => {
    const { logps } = createSampler({ temperature: 0.1, topK: 1 }).choose(logits(), [0.5], [[]]);
    expect(logps[0]).toBeCloseTo(Math.log(0.4), 6);
  });

  test('frequencies follow the distribution', () => {
    const n = 4000;
    const uniforms = Array.from({ length: n }, (_, at) => (at + 0.5) / n);
    const counts = [0, 0, 0, 0];
    for (const id of draws({}, uniforms)) counts[id]! += 1;
    for (const [id, probability] of PROBABILITIES.entries()) {
      expect(Math.abs(counts[id]! / n - probability)).toBeLessThan(1e-3);
    }
  });

  test('infinitely unlikely tokens are never drawn', () => {
    const hidden = tensor([Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY], { shape: [1, 3] });
    for (const options of [{}, { topP: 0.9 }, { topK: 3 }, { greedy: true }]) {
      for (const uniform of [0, 0.5, 0.9999999999]) {
        expect(createSampler(options).choose(hidden, [uniform], [[]]).ids[0]).toBe(1);
      }
    }
  });

  test('NaN logits are an error that says which sequence', () => {
    const broken = tensor([0, 1, Number.NaN, 1], { shape: [2, 2] });
    const choose = () => createSampler({ greedy: true }).choose(broken, [0, 0], [[], []]);
    expect(choose).toThrow(EngineError);
    expect(choose).toThrow(/sequence 1 of the batch are NaN/);
  });

  test.each([
    { temperature: 0 },
    { temperature: -1 },
    { temperature: Number.NaN },
    { topP: 0 },
    { topP: 1.1 },
    { topK: 0 },
    { topK: 1.5 },
    { repetitionPenalty: 0 },
  ])('refuses %j', (options) => {
    expect(() => createSampler(options)).toThrow(UsageError);
  });
});
