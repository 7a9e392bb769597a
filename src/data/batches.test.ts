import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EpochOptions, epochSteps } from './batches.ts';
import { packedLength, packPairs, promptGroups } from './pack.ts';

const anyOptions: fc.Arbitrary<EpochOptions> = fc
  .record({
    lengths: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 }),
    size: fc.oneof(
      fc.record({ pairs: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ tokens: fc.integer({ min: 1, max: 120 }) }),
    ),
    accumulate: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(),
    shuffle: fc.boolean(),
    bucket: fc.boolean(),
  })
  .map(({ size, ...rest }) => ({ ...rest, ...size }));

describe('epochSteps', () => {
  it('visits every item exactly once an epoch, within the budget', () => {
    fc.assert(
      fc.property(anyOptions, fc.nat({ max: 5 }), (options, epoch) => {
        const steps = epochSteps(options, epoch);
        const items = steps.flat(2);
        expect([...items].sort((a, b) => a - b)).toEqual([...Array(options.lengths.length).keys()]);
        for (const [i, step] of steps.entries()) {
          if (i < steps.length - 1) expect(step).toHaveLength(options.accumulate!);
          expect(step.length).toBeLessThanOrEqual(options.accumulate!);
          for (const batch of step) {
            const tokens = batch.reduce((sum, item) => sum + options.lengths[item]!, 0);
            if (options.pairs !== undefined) expect(batch.length).toBeLessThanOrEqual(options.pairs);
            else if (batch.length > 1) expect(tokens).toBeLessThanOrEqual(options.tokens!);
          }
        }
        expect(epochSteps(options, epoch)).toEqual(steps);
      }),
    );
  });

  it('keeps the order of the data when not shuffled, and shuffles anew each epoch and seed', () => {
    const lengths = new Int32Array(20).fill(1);
    const order = (options: Partial<EpochOptions>, epoch = 0) =>
      epochSteps({ lengths, pairs: 4, seed: 1, ...options }, epoch).flat(2);
    expect(order({ shuffle: false })).toEqual([...Array(20).keys()]);
    const orders = [order({}), order({}, 1), order({ seed: 2 }), order({ shuffle: false })].map(String);
    expect(new Set(orders).size).toBe(4);
  });

  it('evens out micro-batches by length when bucketing', () => {
    const lengths = Array.from({ length: 256 }, (_, i) => 10 + ((i * 97) % 200));
    const spread = (bucket: boolean) => {
      const batches = epochSteps({ lengths, pairs: 4, seed: 1, bucket }).flat();
      const ranges = batches.map((batch) => {
        const sizes = batch.map((item) => lengths[item]!);
        return Math.max(...sizes) - Math.min(...sizes);
      });
      return ranges.reduce((a, b) => a + b, 0) / ranges.length;
    };
    expect(spread(true)).toBeLessThan(spread(false) / 4);
  });

  it('keeps the items of a group together, in shuffled order, and still visits each once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 40 }),
        fc.nat(),
        (groups, seed) => {
          const shared = groups.map(() => 0);
          const order = epochSteps({
            lengths: groups.map(() => 1),
            pairs: 3,
            seed,
            groups: { keys: groups, shared },
          }).flat(2);
          expect([...order].sort((a, b) => a - b)).toEqual([...groups.keys()]);
          const changes = order.filter((item, i) => i > 0 && groups[item] !== groups[order[i - 1]!]).length;
          expect(changes).toBe(new Set(groups).size - 1);
        },
      ),
    );
    const options = { lengths: [1, 1], pairs: 1, seed: 1, groups: { keys: ['a', 'b'], shared: [0, 0] } };
    expect(() => epochSteps({ ...options, bucket: true })).toThrow(/not both/);
  });

  it('lets pairs of one prompt meet and share its tokens', () => {
    const pairs = Array.from({ length: 64 }, (_, i) => ({
      prompt: Int32Array.from({ length: 50 }, () => i % 8),
      chosen: Int32Array.of(100 + i, 1),
      rejected: Int32Array.of(200 + i, 1),
    }));
    const lengths = pairs.map(packedLength);
    const tokens = (groups: object) =>
      epochSteps({ lengths, pairs: 8, seed: 1, ...groups })
        .flat()
        .reduce((sum, batch) => sum + packPairs(batch.map((item) => pairs[item]!)).tokens.length, 0);
    expect(tokens({ groups: promptGroups(pairs) })).toBe(8 * 50 + 2 * 64);
    expect(tokens({})).toBeGreaterThan(2000);
  });

  it('counts what a group shares once: the budget is of tokens in the packed row', () => {
    const tail = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 });
    const anyPairs = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 9 }), tail, tail), { minLength: 1, maxLength: 20 })
      .map((triples) =>
        triples.map(([length, chosen, rejected], i) => ({
          prompt: new Int32Array(length).fill(length),
          chosen: Int32Array.from([100 + i, ...chosen]),
          rejected: Int32Array.from([200 + i, ...rejected]),
        })),
      );
    fc.assert(
      fc.property(anyPairs, fc.integer({ min: 1, max: 60 }), (pairs, tokens) => {
        const groups = promptGroups(pairs);
        const batches = epochSteps({ lengths: pairs.map(packedLength), tokens, seed: 1, groups }).flat();
        const row = (batch: readonly number[]) => packPairs(batch.map((i) => pairs[i]!)).tokens.length;
        for (const [i, batch] of batches.entries()) {
          if (batch.length > 1) expect(row(batch)).toBeLessThanOrEqual(tokens);
          const next = batches[i + 1]?.[0];
          if (next !== undefined) expect(row([...batch, next])).toBeGreaterThan(tokens);
        }
      }),
    );
  });

  it('refuses sizes that make no sense', () => {
    const options = { lengths: [1], seed: 1 };
    expect(() => epochSteps(options)).toThrow(/either in pairs or in tokens/);
    expect(() => epochSteps({ ...options, pairs: 1, tokens: 1 })).toThrow(/either in pairs or in tokens/);
    expect(() => epochSteps({ ...options, pairs: 0 })).toThrow(
      /pairs must be a whole number above 0, received 0/,
    );
    expect(() => epochSteps({ ...options, pairs: 1, accumulate: 1.5 })).toThrow(/accumulate must be/);
    expect(() => epochSteps({ ...options, lengths: [], pairs: 1 })).toThrow(/no items/);
  });
});
