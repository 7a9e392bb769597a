import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchPlan } from './plan.ts';

describe('batch plan', () => {
  it('by hand: 5 items, 2 a pass, 2 passes a step, in order', () => {
    const plan = new BatchPlan([1, 1, 1, 1, 1], {
      pairs: 2,
      accumulate: 2,
      epochs: 2,
      seed: 0,
      shuffle: false,
    });
    expect(plan.totalSteps).toBe(4);
    expect(plan.step(0)).toEqual({
      epoch: 0.5,
      passes: [
        [0, 1],
        [2, 3],
      ],
    });
    expect(plan.step(1)).toEqual({ epoch: 1, passes: [[4]] });
    expect(plan.step(2)).toEqual({
      epoch: 1.5,
      passes: [
        [0, 1],
        [2, 3],
      ],
    });
  });

  it('finds the largest of its passes, each number by itself', () => {
    const lengths = [1, 5, 2, 7];
    const plan = new BatchPlan(lengths, { pairs: 2, seed: 0, shuffle: false });
    const sizeOf = (items: readonly number[]) => ({
      rowTokens: items.reduce((sum, item) => sum + lengths[item]!, 0),
      headPositions: items.includes(0) ? 4 : 3,
    });
    expect(plan.largestPass(sizeOf)).toEqual({ rowTokens: 9, headPositions: 4 });
  });

  it('fills passes up to a token budget; a longer item goes alone', () => {
    const plan = new BatchPlan([3, 4, 9, 2, 5], { tokens: 7, seed: 0, shuffle: false });
    expect([0, 1, 2].map((step) => plan.step(step).passes[0])).toEqual([[0, 1], [2], [3, 4]]);
  });

  it('keeps the items of a group in one pass when asked to, every item once, another order each epoch', () => {
    const prompts = ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c'];
    const groups = () => ({ keys: prompts, shared: prompts.map(() => 2) });
    const task = { items: 9, tokens: () => 5, groups };
    const options = { pairs: 3, epochs: 20, seed: 3 };
    const grouped = BatchPlan.of(task, { ...options, groupPrompts: true });
    const passes = Array.from({ length: grouped.totalSteps }, (_, step) => grouped.step(step).passes[0]!);
    for (const items of passes) expect(new Set(items.map((item) => prompts[item])).size).toBe(1);
    expect(passes.slice(0, 3).flat().sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(new Set(passes.map((items) => items.join())).size).toBeGreaterThan(3);
    const apart = BatchPlan.of(task, options);
    const mixed = Array.from({ length: apart.totalSteps }, (_, step) => apart.step(step).passes[0]!);
    expect(mixed.some((items) => new Set(items.map((item) => prompts[item])).size > 1)).toBe(true);
  });

  it('counts a part of an epoch, rounded up', () => {
    expect(new BatchPlan(new Array(10).fill(1), { pairs: 3, epochs: 1.5, seed: 0 }).totalSteps).toBe(6);
  });

  it('sees every item once an epoch, in another order each, and depends on nothing but its options', () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 40 }),
      fc.nat(),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      (lengths, seed, size, byTokens) => {
        const options = {
          seed,
          accumulate: 2,
          epochs: 2,
          ...(byTokens ? { tokens: 10 * size } : { pairs: size }),
        };
        const plan = new BatchPlan(lengths, options);
        const steps = Array.from({ length: plan.totalSteps }, (_, step) => plan.step(step));
        const last = new BatchPlan(lengths, options).step(plan.totalSteps - 1);
        expect(last).toEqual(steps.at(-1));
        expect(last.epoch).toBe(2);
        const seen = steps.filter(({ epoch }) => epoch <= 1).flatMap(({ passes }) => passes.flat());
        expect(seen.toSorted((a, b) => a - b)).toEqual(lengths.map((_, index) => index));
      },
    );
    fc.assert(property, { numRuns: 50 });
    const plan = new BatchPlan(new Array(20).fill(1), { pairs: 20, epochs: 2, seed: 1 });
    expect(plan.step(0).passes).not.toEqual(plan.step(1).passes);
  });
});
