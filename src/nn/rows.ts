import { ops, type Tensor } from '../engine/index.ts';

/** The rows of `x [T, …]` at `rows [C]` int64, or all where none are named. */
export function rowsAt(x: Tensor, rows: Tensor | undefined): Tensor {
  return rows === undefined ? x : ops.indexSelect(x, 0, rows);
}
