import { type Device, ops, type Tensor, tensor } from '../../engine/index.ts';
import { rowsAt } from '../../nn/rows.ts';
import type { AttentionCall, AttentionPlan, Segment } from '../contract.ts';
import { attentionPieces } from './pieces.ts';

/** Host-side description of one variable-length call, all pieces of a row at once. */
export interface VariableLengthLayout {
  /** Row index of every key, piece by piece; undefined when the pieces' keys are the row itself. */
  readonly gather: Int32Array | undefined;
  /** Running totals of query and key counts, one more than there are pieces. */
  readonly queryOffsets: Int32Array;
  readonly keyOffsets: Int32Array;
  readonly longestQuery: number;
  readonly longestKey: number;
}

/**
 * Lays a row out for a kernel whose causal mask aligns at the bottom right: the queries of all pieces are the row in
 * order, and each piece's keys are its ancestors' followed by its own.
 */
export function variableLengthLayout(segments: readonly Segment[]): VariableLengthLayout {
  const pieces = attentionPieces(segments);
  const gather = pieces.flatMap(({ keys }) =>
    keys.flatMap(({ start, length }) => Array.from({ length }, (_, offset) => start + offset)),
  );
  const isRow = gather.length === pieces.reduce((sum, { queries }) => sum + queries.length, 0);
  return {
    gather: isRow ? undefined : Int32Array.from(gather),
    queryOffsets: runningTotals(pieces.map(({ queries }) => queries.length)),
    keyOffsets: runningTotals(pieces.map(({ keyLength }) => keyLength)),
    longestQuery: Math.max(0, ...pieces.map(({ queries }) => queries.length)),
    longestKey: Math.max(0, ...pieces.map(({ keyLength }) => keyLength)),
  };
}

/**
 * FlashAttention with cumulative lengths, for bf16 and fp16 on CUDA: one kernel call a layer for the whole row.
 *
 * The layout is tested against the definition of a packed row; the kernel call itself has not been run, because the
 * project's tests run on machines without a GPU.
 */
export class VariableLengthAttention implements AttentionPlan {
  readonly #layout: VariableLengthLayout;
  readonly #gather: Tensor | undefined;
  readonly #queryOffsets: Tensor;
  readonly #keyOffsets: Tensor;

  constructor(segments: readonly Segment[], device: Device) {
    const layout = variableLengthLayout(segments);
    const index = (values: Int32Array) => tensor(values, { dtype: 'int32', device });
    this.#layout = layout;
    this.#gather = layout.gather === undefined ? undefined : index(layout.gather);
    this.#queryOffsets = index(layout.queryOffsets);
    this.#keyOffsets = index(layout.keyOffsets);
  }

  attend(query: Tensor, key: Tensor, value: Tensor, call: AttentionCall): Tensor {
    const { longestQuery, longestKey } = this.#layout;
    // A window of w tokens reaches w − 1 to the left of the query.
    const window = call.window === undefined ? {} : { windowSizeLeft: call.window - 1, windowSizeRight: 0 };
    const [output] = ops._flashAttentionForward(
      query,
      rowsAt(key, this.#gather),
      rowsAt(value, this.#gather),
      this.#queryOffsets,
      this.#keyOffsets,
      longestQuery,
      longestKey,
      0,
      true,
      false,
      { scale: call.scale, ...window },
    );
    return output;
  }
}

function runningTotals(lengths: readonly number[]): Int32Array {
  const totals = new Int32Array(lengths.length + 1);
  for (const [index, length] of lengths.entries()) totals[index + 1] = totals[index]! + length;
  return totals;
}
