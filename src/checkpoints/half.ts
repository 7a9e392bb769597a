/** 16-bit floats on the host. Bits are held in Uint16Array, values in Float32Array. */

let float16Values: Float32Array | undefined;

/** The value of every float16 bit pattern, by pattern. */
export function float16Table(): Float32Array {
  if (float16Values !== undefined) return float16Values;
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[bits] = bits & 0x8000 ? -size : size;
  }
  float16Values = table;
  return table;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** float32 → float16 bits, to nearest, ties to even; out of range becomes infinity. */
export function toFloat16Bits(value: number): number {
  float[0] = value;
  const bits = floatBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal in float16: let the float32 adder round at the right bit (2⁻²⁴).
    float[0] = Math.fround(Math.abs(value)) + 0.5;
    return sign | (floatBits[0]! - 0x3f000000);
  }
  const rounded = magnitude + 0x0fff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** float32 values → bfloat16 bits, to nearest, ties to even. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = bits[i]!;
    const quietNaN = (word & 0x7fffffff) > 0x7f800000;
    out[i] = quietNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** float32 values → float16 bits. */
export function toFloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = toFloat16Bits(values[i]!);
  return out;
}
