import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { randomForest, visiblePairs } from '../../../tests/parity/rows.ts';
import type { Segment } from '../contract.ts';
import { attentionPieces } from './pieces.ts';
import { variableLengthLayout } from './variable-length.ts';

const pair: Segment[] = [
  { start: 0, length: 5 },
  { start: 5, length: 3, parent: 0 },
  { start: 8, length: 2, parent: 0 },
];

describe('attentionPieces', () => {
  test('a pair is two calls: prompt with chosen, and rejected behind the prompt', () => {
    expect(attentionPieces(pair)).toEqual([
      { queries: { start: 0, length: 8 }, keys: [{ start: 0, length: 8 }], keyLength: 8 },
      {
        queries: { start: 8, length: 2 },
        keys: [
          { start: 0, length: 5 },
          { start: 8, length: 2 },
        ],
        keyLength: 7,
      },
    ]);
  });

  test('an empty chosen completion leaves the rejected one to continue the prompt', () => {
    const segments = [
      { start: 0, length: 5 },
      { start: 5, length: 0, parent: 0 },
      { start: 5, length: 2, parent: 0 },
    ];
    expect(attentionPieces(segments)).toEqual([
      { queries: { start: 0, length: 7 }, keys: [{ start: 0, length: 7 }], keyLength: 7 },
    ]);
  });

  test('a window cuts long pieces and drops keys out of reach', () => {
    expect(attentionPieces(pair, 3)).toEqual([
      { queries: { start: 0, length: 3 }, keys: [{ start: 0, length: 3 }], keyLength: 3 },
      { queries: { start: 3, length: 3 }, keys: [{ start: 1, length: 5 }], keyLength: 5 },
      { queries: { start: 6, length: 2 }, keys: [{ start: 4, length: 4 }], keyLength: 4 },
      {
        queries: { start: 8, length: 2 },
        keys: [
          { start: 3, length: 2 },
          { start: 8, length: 2 },
        ],
        keyLength: 4,
      },
    ]);
  });

  test('every query sees exactly its path, itself, and nothing before its window', () => {
    fc.assert(
      fc.property(
        randomForest,
        fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
        (segments, window) => {
          const seen = new Set<string>();
          let next = 0;
          for (const { queries, keys, keyLength } of attentionPieces(segments, window)) {
            expect(queries.start).toBe(next);
            next += queries.length;
            const rows = keys.flatMap(({ start, length }) => Array.from({ length }, (_, at) => start + at));
            expect(rows).toHaveLength(keyLength);
            for (let query = 0; query < queries.length; query++) {
              const last = keyLength - queries.length + query;
              const first = window === undefined ? 0 : Math.max(0, last - window + 1);
              for (const row of rows.slice(first, last + 1)) seen.add(`${queries.start + query}:${row}`);
            }
          }
          expect(seen).toEqual(visiblePairs(segments, window));
        },
      ),
    );
  });
});

describe('variableLengthLayout', () => {
  test('plain sequences need no gathered keys', () => {
    const layout = variableLengthLayout([
      { start: 0, length: 4 },
      { start: 4, length: 2 },
    ]);
    expect(layout.gather).toBeUndefined();
    expect([...layout.queryOffsets]).toEqual([0, 4, 6]);
    expect([...layout.keyOffsets]).toEqual([0, 4, 6]);
  });

  test('a pair gathers the prompt again for the rejected completion', () => {
    const layout = variableLengthLayout(pair);
    expect([...layout.gather!]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 8, 9]);
    expect([...layout.queryOffsets]).toEqual([0, 8, 10]);
    expect([...layout.keyOffsets]).toEqual([0, 8, 15]);
    expect([layout.longestQuery, layout.longestKey]).toEqual([8, 8]);
  });

  test('a bottom-right causal kernel over it sees what a packed row defines', () => {
    fc.assert(
      fc.property(randomForest, (segments) => {
        const { gather, queryOffsets, keyOffsets } = variableLengthLayout(segments);
        const seen = new Set<string>();
        for (let piece = 0; piece + 1 < queryOffsets.length; piece++) {
          const [firstQuery, endQuery] = [queryOffsets[piece]!, queryOffsets[piece + 1]!];
          const [firstKey, endKey] = [keyOffsets[piece]!, keyOffsets[piece + 1]!];
          for (let query = firstQuery; query < endQuery; query++) {
            for (let key = firstKey; key <= endKey - (endQuery - query); key++) {
              seen.add(`${query}:${gather === undefined ? key : gather[key]}`);
            }
          }
        }
        expect(seen).toEqual(visiblePairs(segments, undefined));
      }),
    );
  });
});
