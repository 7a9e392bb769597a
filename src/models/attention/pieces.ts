import type { Segment } from '../contract.ts';

/** A run of consecutive tokens of the row. */
export interface TokenRange {
  readonly start: number;
  readonly length: number;
}

/**
 * One attention call over part of a row. Its keys, concatenated in order, hold consecutive positions and end at the
 * position of its last query, so which query sees which key follows from the three lengths alone.
 */
export interface AttentionPiece {
  readonly queries: TokenRange;
  readonly keys: readonly TokenRange[];
  readonly keyLength: number;
}

/**
 * Cuts a row into the fewest calls that compute no masked-out block twice. A segment that lies right behind its parent
 * continues the parent's call (prompt and chosen completion are one causal call); any other segment is a call of its
 * own, with its ancestors' keys in front. Pieces partition the row in order.
 *
 * With a sliding window, pieces longer than the window are cut into blocks that carry only the keys they can see.
 */
export function attentionPieces(segments: readonly Segment[], window?: number): AttentionPiece[] {
  return chains(segments).flatMap(({ run, context }) => {
    const keys = mergeAdjacent([...context, run]);
    const keyLength = totalLength(keys);
    if (window === undefined || keyLength <= window) return [{ queries: run, keys, keyLength }];
    return windowBlocks(run, keys, keyLength, window);
  });
}

/** Whether the piece is plain causal attention of a sequence to itself: no mask needed. */
export function isSquareCausal(piece: AttentionPiece, window: number | undefined): boolean {
  return piece.keyLength === piece.queries.length && (window === undefined || piece.keyLength <= window);
}

/** Whether every query of the piece sees all its keys: a single query whose keys are all within the window. */
export function seesEverything(piece: AttentionPiece, window: number | undefined): boolean {
  return piece.queries.length === 1 && (window === undefined || piece.keyLength <= window);
}

interface Chain {
  readonly run: TokenRange;
  /** Ancestors outside the run, from the root down. */
  readonly context: readonly TokenRange[];
}

function chains(segments: readonly Segment[]): Chain[] {
  const found: { start: number; length: number; context: TokenRange[]; last: number }[] = [];
  for (const [index, segment] of segments.entries()) {
    if (segment.length === 0) continue;
    const ancestors = nonEmptyAncestors(segments, segment);
    const previous = found.at(-1);
    const parent = ancestors.at(-1);
    if (previous !== undefined && parent !== undefined && previous.last === parent) {
      previous.length += segment.length;
      previous.last = index;
      continue;
    }
    const context = ancestors.map((ancestor) => segments[ancestor]!);
    found.push({ start: segment.start, length: segment.length, context, last: index });
  }
  return found.map(({ start, length, context }) => ({ run: { start, length }, context }));
}

/** Indices from the root down to the parent; segments of length zero say nothing and are left out. */
function nonEmptyAncestors(segments: readonly Segment[], segment: Segment): number[] {
  const path: number[] = [];
  for (let at = segment.parent; at !== undefined; at = segments[at]!.parent) {
    if (segments[at]!.length > 0) path.unshift(at);
  }
  return path;
}

function windowBlocks(
  run: TokenRange,
  keys: readonly TokenRange[],
  keyLength: number,
  window: number,
): AttentionPiece[] {
  const context = keyLength - run.length;
  const blocks: AttentionPiece[] = [];
  for (let offset = 0; offset < run.length; offset += window) {
    const length = Math.min(window, run.length - offset);
    const firstPosition = context + offset;
    const from = Math.max(0, firstPosition - window + 1);
    const visible = sliceRanges(keys, from, firstPosition + length);
    blocks.push({
      queries: { start: run.start + offset, length },
      keys: visible,
      keyLength: firstPosition + length - from,
    });
  }
  return blocks;
}

/** Positions `from` (inclusive) to `to` (exclusive) of concatenated ranges. */
function sliceRanges(ranges: readonly TokenRange[], from: number, to: number): TokenRange[] {
  const slices: TokenRange[] = [];
  let position = 0;
  for (const { start, length } of ranges) {
    const low = Math.max(from, position);
    const high = Math.min(to, position + length);
    if (low < high) slices.push({ start: start + low - position, length: high - low });
    position += length;
  }
  return slices;
}

function mergeAdjacent(ranges: readonly TokenRange[]): TokenRange[] {
  const merged: TokenRange[] = [];
  for (const { start, length } of ranges) {
    const previous = merged.at(-1);
    if (previous !== undefined && previous.start + previous.length === start) {
      merged[merged.length - 1] = { start: previous.start, length: previous.length + length };
    } else {
      merged.push({ start, length });
    }
  }
  return merged;
}

function totalLength(ranges: readonly TokenRange[]): number {
  return ranges.reduce((sum, range) => sum + range.length, 0);
}
