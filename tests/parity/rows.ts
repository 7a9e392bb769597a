import fc from 'fast-check';
import type { Segment } from '../../src/models/index.ts';

/** Forests as packed rows hold them: parents first, no gaps; empty segments, single tokens, many children, deep paths. */
export const randomForest: fc.Arbitrary<Segment[]> = fc
  .array(
    fc.record({ length: fc.integer({ min: 0, max: 6 }), parent: fc.nat({ max: 20 }), root: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 9,
    },
  )
  .map((drawn) => {
    let start = 0;
    return drawn.map(({ length, parent, root }, index) => {
      const segment = { start, length, ...(root || index === 0 ? {} : { parent: parent % index }) };
      start += length;
      return segment;
    });
  });

/** The path of each segment from its root to itself. */
export function pathOf(segments: readonly Segment[], index: number): number[] {
  const { parent } = segments[index]!;
  return parent === undefined ? [index] : [...pathOf(segments, parent), index];
}

/** `query:key` for every pair of row indices where the query sees the key, straight from the definition. */
export function visiblePairs(segments: readonly Segment[], window: number | undefined): Set<string> {
  const visible = new Set<string>();
  for (const index of segments.keys()) {
    const path = pathOf(segments, index).flatMap((at) => {
      const { start, length } = segments[at]!;
      return Array.from({ length }, (_, offset) => start + offset);
    });
    const own = path.length - segments[index]!.length;
    for (let query = own; query < path.length; query++) {
      const first = window === undefined ? 0 : Math.max(0, query - window + 1);
      for (let key = first; key <= query; key++) visible.add(`${path[query]}:${path[key]}`);
    }
  }
  return visible;
}
