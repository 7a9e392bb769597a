import type { Layout } from './names.ts';

export interface HeadCounts {
  readonly heads: number;
  readonly kvHeads: number;
}

/**
 * Brings a matrix `[rows, columns]` (or a bias or norm `[rows]`) from GGUF's layout to Hugging Face's, or back.
 * Returns the new values and the shape that goes with them; the input is not changed.
 */
export function relayout(
  values: Float32Array,
  shape: readonly number[],
  layout: Layout,
  to: 'gguf' | 'huggingFace',
  heads: HeadCounts,
): { values: Float32Array; shape: readonly number[] } {
  if (layout === 'transposed') return transpose(values, shape);
  if (layout === 'plus-one') return { values: values.map((x) => (to === 'gguf' ? x + 1 : x - 1)), shape };
  const rows = shape[0]!;
  const sources = sourceRows(layout, rows, heads);
  return { values: permuteRows(values, rows, to === 'huggingFace' ? sources : inverse(sources)), shape };
}

/** For each Hugging Face row, the GGUF row that holds it. */
function sourceRows(
  layout: Exclude<Layout, 'transposed' | 'plus-one'>,
  rows: number,
  { heads, kvHeads }: HeadCounts,
): Int32Array {
  const sources = new Int32Array(rows);
  if (layout === 'interleaved-qkv') {
    // Hugging Face: [head, (q, k, v), width]; GGUF: [(q, k, v), head, width].
    const width = rows / heads / 3;
    for (let row = 0; row < rows; row++) {
      const head = Math.floor(row / (3 * width));
      const part = Math.floor(row / width) % 3;
      sources[row] = (part * heads + head) * width + (row % width);
    }
    return sources;
  }
  // Hugging Face: [head, half (2), width/2]; GGUF: [head, width/2, half (2)], rotary pairs side by side.
  const width = rows / (layout === 'rotary-query' ? heads : kvHeads);
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / width);
    const half = Math.floor((row % width) / (width / 2));
    sources[row] = head * width + 2 * (row % (width / 2)) + half;
  }
  return sources;
}

function inverse(permutation: Int32Array): Int32Array {
  const inverted = new Int32Array(permutation.length);
  permutation.forEach((from, to) => {
    inverted[from] = to;
  });
  return inverted;
}

function permuteRows(values: Float32Array, rows: number, sources: Int32Array): Float32Array {
  const width = values.length / rows;
  const out = new Float32Array(values.length);
  sources.forEach((source, row) => {
    out.set(values.subarray(source * width, (source + 1) * width), row * width);
  });
  return out;
}

function transpose(
  values: Float32Array,
  shape: readonly number[],
): { values: Float32Array; shape: readonly number[] } {
  const [rows = 0, columns = 0] = shape;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = values[row * columns + column]!;
  }
  return { values: out, shape: [columns, rows] };
}
