import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packByLength, packedLength, packPairs, packSequences } from './pack.ts';
import type { PackedRow } from './packed.ts';

const pair = (prompt: number[], chosen: number[], rejected: number[]) => ({
  prompt: Int32Array.from(prompt),
  chosen: Int32Array.from(chosen),
  rejected: Int32Array.from(rejected),
});
const plain = (row: PackedRow) => ({
  tokens: [...row.tokens],
  positions: [...row.positions],
  segments: row.segments,
  completions: row.completions.map(({ item, side, rows, targets }) => ({
    item,
    side,
    rows: [...rows],
    targets: [...targets],
  })),
});

describe('packPairs', () => {
  it('lays a pair out as prompt, chosen, rejected, without the completions’ last tokens', () => {
    expect(plain(packPairs([pair([1, 2], [3, 4, 5], [6, 7])]))).toEqual({
      tokens: [1, 2, 3, 4, 6],
      positions: [0, 1, 2, 3, 2],
      segments: [
        { start: 0, length: 2 },
        { start: 2, length: 2, parent: 0 },
        { start: 4, length: 1, parent: 0 },
      ],
      completions: [
        { item: 0, side: 'chosen', rows: [1, 2, 3], targets: [3, 4, 5] },
        { item: 0, side: 'rejected', rows: [1, 4], targets: [6, 7] },
      ],
    });
  });

  it('gives a completion of one token no segment: the prompt’s last token predicts it', () => {
    expect(plain(packPairs([pair([1], [3], [4])]))).toEqual({
      tokens: [1],
      positions: [0],
      segments: [{ start: 0, length: 1 }],
      completions: [
        { item: 0, side: 'chosen', rows: [0], targets: [3] },
        { item: 0, side: 'rejected', rows: [0], targets: [4] },
      ],
    });
  });

  it('shares equal prompts, and equal completions of one prompt', () => {
    const pairs = [pair([1, 2], [3, 9], [4, 9]), pair([8], [3, 9], [4, 9]), pair([1, 2], [3, 9], [5, 9])];
    const row = packPairs(pairs);
    expect(plain(row)).toEqual({
      tokens: [1, 2, 3, 4, 5, 8, 3, 4],
      positions: [0, 1, 2, 2, 2, 0, 1, 1],
      segments: [
        { start: 0, length: 2 },
        { start: 2, length: 1, parent: 0 },
        { start: 3, length: 1, parent: 0 },
        { start: 4, length: 1, parent: 0 },
        { start: 5, length: 1 },
        { start: 6, length: 1, parent: 4 },
        { start: 7, length: 1, parent: 4 },
      ],
      completions: [
        { item: 0, side: 'chosen', rows: [1, 2], targets: [3, 9] },
        { item: 0, side: 'rejected', rows: [1, 3], targets: [4, 9] },
        { item: 1, side: 'chosen', rows: [5, 6], targets: [3, 9] },
        { item: 1, side: 'rejected', rows: [5, 7], targets: [4, 9] },
        { item: 2, side: 'chosen', rows: [1, 2], targets: [3, 9] },
        { item: 2, side: 'rejected', rows: [1, 4], targets: [5, 9] },
      ],
    });
    expect(packedLength(pairs[0]!)).toBe(4);
  });

  it('does not score a first token that nothing precedes', () => {
    expect(plain(packPairs([pair([], [3, 4], [5, 6, 7])]))).toMatchObject({
      tokens: [3, 5, 6],
      positions: [0, 0, 1],
      segments: [
        { start: 0, length: 1 },
        { start: 1, length: 2 },
      ],
      completions: [
        { rows: [0], targets: [4] },
        { rows: [1, 2], targets: [6, 7] },
      ],
    });
  });

  const tokens = (minLength: number) => fc.array(fc.integer({ min: 0, max: 5 }), { minLength, maxLength: 6 });
  const anyPairs = fc.array(fc.tuple(tokens(0), tokens(1), tokens(1)), { minLength: 1, maxLength: 8 });

  it('lets every completion be read back from the tokens that its rows can see', () => {
    fc.assert(
      fc.property(anyPairs, (triples) => {
        const pairs = triples.map((triple) => pair(...triple));
        const row = packPairs(pairs);
        checkCovered(row);
        for (const { item, side, rows, targets } of row.completions) {
          const sequence = [...pairs[item]!.prompt, ...pairs[item]![side]];
          const first = Math.max(1, pairs[item]!.prompt.length);
          expect([...targets]).toEqual(sequence.slice(first));
          for (const [i, at] of rows.entries())
            expect(visible(row, at)).toEqual(sequence.slice(0, first + i));
        }
        expect(row.completions.map(({ item, side }) => [item, side])).toEqual(
          pairs.flatMap((_, i) => [
            [i, 'chosen'],
            [i, 'rejected'],
          ]),
        );
        expect(row.tokens.length).toBeLessThanOrEqual(pairs.reduce((sum, one) => sum + packedLength(one), 0));
      }),
    );
  });

  it('packs sequences so that every completion can be read back', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(tokens(0), tokens(1)), { maxLength: 8 }), (items) => {
        const sequences = items.map(([prompt, completion]) => ({
          prompt: Int32Array.from(prompt),
          completion: Int32Array.from(completion),
        }));
        const row = packSequences(sequences);
        checkCovered(row);
        for (const { item, rows, targets } of row.completions) {
          const { prompt, completion } = sequences[item]!;
          const sequence = [...prompt, ...completion];
          const first = Math.max(1, prompt.length);
          expect([...targets]).toEqual(sequence.slice(first));
          for (const [i, at] of rows.entries())
            expect(visible(row, at)).toEqual(sequence.slice(0, first + i));
        }
      }),
    );
  });
});

/** Segments lie in the row in order, without gaps, parents before children. */
function checkCovered({ segments, tokens }: PackedRow): void {
  let end = 0;
  for (const [i, { start, length, parent }] of segments.entries()) {
    expect(start).toBe(end);
    expect(length).toBeGreaterThan(0);
    if (parent !== undefined) expect(parent).toBeLessThan(i);
    end = start + length;
  }
  expect(end).toBe(tokens.length);
}

/** The tokens that a row's token attends to, in the order of their positions, itself last. */
function visible({ segments, tokens, positions }: PackedRow, at: number): number[] {
  const seen: number[] = [];
  let index = segments.findIndex(({ start, length }) => start <= at && at < start + length);
  let end = at + 1;
  for (;;) {
    const segment = segments[index]!;
    for (let i = end - 1; i >= segment.start; i--) seen.unshift(i);
    if (segment.parent === undefined) break;
    index = segment.parent;
    end = segments[index]!.start + segments[index]!.length;
  }
  expect(seen.map((i) => positions[i])).toEqual(seen.map((_, i) => i));
  return seen.map((i) => tokens[i]!);
}

describe('rows by length', () => {
  it('by hand: longest first, up to the budget, a longer one alone', () => {
    expect(packByLength([3, 9, 2, 4, 5], 8)).toEqual([[1], [4], [3, 0], [2]]);
  });
});
