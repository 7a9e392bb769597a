import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawRows, holdOut, requireFraction } from './holdout.ts';

describe('holding out', () => {
  it('splits all rows, keeps equal prompts together, and takes about the share asked for', () => {
    const rows = fc.array(fc.record({ prompt: fc.integer({ min: 0, max: 30 }) }), {
      minLength: 2,
      maxLength: 80,
    });
    fc.assert(
      fc.property(rows, fc.double({ min: 0.05, max: 0.5, noNaN: true }), fc.nat(), (data, fraction, seed) => {
        const { train, heldOut } = holdOut(data, fraction, seed);
        expect([...train, ...heldOut].sort((a, b) => a - b)).toEqual(data.map((_, index) => index));
        const trained = new Set(train.map((index) => data[index]!.prompt));
        expect(heldOut.some((index) => trained.has(data[index]!.prompt))).toBe(false);
        expect(train.length).toBeGreaterThan(0);
        const largest = Math.max(
          ...data.map((row) => data.filter(({ prompt }) => prompt === row.prompt).length),
        );
        expect(heldOut.length).toBeLessThan(Math.max(1, fraction * data.length + 1) + largest);
      }),
    );
  });

  it('passes over a prompt with too many rows while others fit', () => {
    const rows = [...Array(40).keys(), ...Array(60).fill('often')].map((prompt) => ({ prompt }));
    for (let seed = 0; seed < 20; seed++) expect(holdOut(rows, 0.1, seed).heldOut).toHaveLength(10);
    const long = [...Array(85).keys(), ...Array(15).fill('often')].map((prompt) => ({ prompt }));
    for (let seed = 0; seed < 20; seed++) expect(holdOut(long, 0.1, seed).heldOut).toHaveLength(10);
    // Nothing comes near; the smaller prompt comes nearest.
    const two = ['a', 'b', 'b', 'a', 'b', 'b', 'b', 'a'].map((prompt) => ({ prompt }));
    for (let seed = 0; seed < 5; seed++) expect(holdOut(two, 0.01, seed).heldOut).toEqual([0, 3, 7]);
  });

  it('is a function of the seed, and holds out nothing for 0', () => {
    const rows = Array.from({ length: 50 }, (_, prompt) => ({ prompt }));
    expect(holdOut(rows, 0.2, 1)).toEqual(holdOut(rows, 0.2, 1));
    expect(holdOut(rows, 0.2, 1).heldOut).not.toEqual(holdOut(rows, 0.2, 2).heldOut);
    expect(holdOut(rows, 0.2, 1).heldOut).toHaveLength(10);
    expect(holdOut(rows, 0, 1).heldOut).toEqual([]);
  });
});

describe('drawing the rows that are evaluated', () => {
  // As hh-test: sorted by where the rows are from, some prompts twice.
  const sorted = Array.from({ length: 60 }, (_, i) => ({
    prompt: `${i < 30 ? 'harmless' : 'helpful'} ${i >> 1}`,
  }));

  it('takes rows of every part, with all rows of their prompts, as the seed says', () => {
    const drawn = drawRows(sorted, 20, 0);
    expect(drawn).toHaveLength(20);
    expect(drawn).toEqual([...new Set(drawn)].sort((a, b) => a - b));
    expect(drawn.filter((row) => row < 30).length).toBeGreaterThan(3);
    expect(drawn.filter((row) => row >= 30).length).toBeGreaterThan(3);
    for (const row of drawn) expect(drawn).toContain(row ^ 1);
    expect(drawRows(sorted, 20, 0)).toEqual(drawn);
    expect(drawRows(sorted, 20, 1)).not.toEqual(drawn);
  });

  it('takes all where there are no more, and part of a prompt rather than too many', () => {
    expect(drawRows(sorted.slice(0, 3), 3, 0)).toEqual([0, 1, 2]);
    expect(drawRows(sorted, 7, 0)).toHaveLength(7);
  });
});

it.each([1, 1.5, -1, Number.NaN])('refuses to hold out a share of %d', (fraction) => {
  expect(() => requireFraction(fraction)).toThrow(expect.objectContaining({ code: 'eval-fraction' }));
});
