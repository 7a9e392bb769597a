import { toBfloat16, toFloat16, toFloat16Bits } from '../half.ts';
import { TENSOR_TYPES } from './format.ts';

/** Types that weights can be exported as. */
export type ExportType = 'F32' | 'F16' | 'BF16' | 'Q8_0';

const FLOAT16_OVERFLOW = 65_520;

/** The least magnitudes that become infinite when they are rounded to a type; in Q8_0 it is a block's scale that does. */
export const OVERFLOW: Readonly<Record<ExportType, number>> = {
  F32: Number.POSITIVE_INFINITY,
  F16: FLOAT16_OVERFLOW,
  BF16: (2 - 2 ** -8) * 2 ** 127,
  Q8_0: 127 * FLOAT16_OVERFLOW,
};

/** A row-major matrix of float32 as the bytes of one of the export types; rows must be whole blocks for Q8_0. */
export function quantize(type: ExportType, values: Float32Array): Uint8Array {
  switch (type) {
    case 'F32':
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case 'F16':
      return new Uint8Array(toFloat16(values).buffer);
    case 'BF16':
      return new Uint8Array(toBfloat16(values).buffer);
    case 'Q8_0':
      return quantizeQ8(values);
  }
}

/** Blocks of 32: a float16 scale and 32 signed bytes. Rounds half away from zero, in float32, as llama.cpp does. */
function quantizeQ8(values: Float32Array): Uint8Array {
  const { block, bytes } = TENSOR_TYPES.Q8_0;
  const out = new Uint8Array((values.length / block) * bytes);
  for (let from = 0, at = 0; from < values.length; from += block, at += bytes) {
    let largest = 0;
    for (let i = 0; i < block; i++) largest = Math.max(largest, Math.abs(values[from + i]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const bits = toFloat16Bits(scale);
    out[at] = bits & 0xff;
    out[at + 1] = bits >> 8;
    for (let i = 0; i < block; i++) {
      const scaled = Math.fround(values[from + i]! * inverse);
      out[at + 2 + i] = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
    }
  }
  return out;
}
