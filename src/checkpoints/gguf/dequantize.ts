import { ModelError } from '../../errors.ts';
import { float16Table } from '../half.ts';
import { TENSOR_TYPES, type TensorTypeName } from './format.ts';

/** Turns blocks into numbers: reads `bytes` from the front, writes `out` to its end. */
type Decoder = (bytes: Uint8Array, out: Float32Array) => void;

/**
 * The float32 values of a tensor's bytes, equal bit for bit to llama.cpp's reference.
 *
 * Every product and sum below is exact in float64 before the store into a Float32Array rounds it once, which is what
 * float32 arithmetic gives too, because each of its intermediate results is exact there as well.
 *
 * @param place names the tensor in errors
 */
export function dequantize(type: TensorTypeName, bytes: Uint8Array, place: string): Float32Array {
  const decode = DECODERS[type];
  if (decode === undefined) {
    throw new ModelError('gguf-unsupported', `${place} is stored as ${type}, which cannot be read.`, {
      hint: `Use a file of one of these types: ${Object.keys(DECODERS).join(', ')}.`,
    });
  }
  const { block, bytes: blockBytes } = TENSOR_TYPES[type];
  const out = new Float32Array((bytes.length / blockBytes) * block);
  decode(bytes, out);
  return out;
}

const DECODERS: Partial<Record<TensorTypeName, Decoder>> = {
  F32(bytes, out) {
    new Uint8Array(out.buffer).set(bytes);
  },
  F16(bytes, out) {
    const half = float16Table();
    for (let i = 0; i < out.length; i++) out[i] = half[bytes[2 * i]! | (bytes[2 * i + 1]! << 8)]!;
  },
  BF16(bytes, out) {
    const words = new Uint32Array(out.buffer);
    for (let i = 0; i < out.length; i++) words[i] = (bytes[2 * i]! << 16) | (bytes[2 * i + 1]! << 24);
  },
  Q4_0(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 18, o += 32) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const q = bytes[at + 2 + i]!;
        out[o + i] = d * ((q & 15) - 8);
        out[o + 16 + i] = d * ((q >> 4) - 8);
      }
    }
  },
  Q4_1(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 20, o += 32) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const m = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const q = bytes[at + 4 + i]!;
        out[o + i] = d * (q & 15) + m;
        out[o + 16 + i] = d * (q >> 4) + m;
      }
    }
  },
  Q5_0(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 22, o += 32) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const high = word(bytes, at + 2);
      for (let i = 0; i < 16; i++) {
        const q = bytes[at + 6 + i]!;
        out[o + i] = d * (((q & 15) | (((high >>> i) & 1) << 4)) - 16);
        out[o + 16 + i] = d * (((q >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
      }
    }
  },
  Q5_1(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 24, o += 32) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const m = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      const high = word(bytes, at + 4);
      for (let i = 0; i < 16; i++) {
        const q = bytes[at + 8 + i]!;
        out[o + i] = d * ((q & 15) | (((high >>> i) & 1) << 4)) + m;
        out[o + 16 + i] = d * ((q >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
      }
    }
  },
  Q8_0(bytes, out) {
    const half = float16Table();
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0, o = 0; o < out.length; at += 34, o += 32) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      for (let i = 0; i < 32; i++) out[o + i] = d * signed[at + 2 + i]!;
    }
  },
  Q2_K(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 84, o += 256) {
      const d = half[bytes[at + 80]! | (bytes[at + 81]! << 8)]!;
      const dmin = half[bytes[at + 82]! | (bytes[at + 83]! << 8)]!;
      for (let group = 0; group < 16; group++) {
        const scale = bytes[at + group]!;
        const dl = d * (scale & 15);
        const ml = dmin * (scale >> 4);
        const quants = at + 16 + (group >> 3) * 32 + (group & 1) * 16;
        const shift = group & 6;
        for (let i = 0; i < 16; i++) out[o + group * 16 + i] = dl * ((bytes[quants + i]! >> shift) & 3) - ml;
      }
    }
  },
  Q3_K(bytes, out) {
    const half = float16Table();
    for (let at = 0, o = 0; o < out.length; at += 110, o += 256) {
      const d = half[bytes[at + 108]! | (bytes[at + 109]! << 8)]!;
      for (let group = 0; group < 16; group++) {
        // 6-bit scales: 4 low bits in bytes 96–103, 2 high bits in bytes 104–107.
        const low = group < 8 ? bytes[at + 96 + group]! & 15 : bytes[at + 88 + group]! >> 4;
        const high = (bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
        const dl = d * ((low | (high << 4)) - 32);
        const quants = at + 32 + (group >> 3) * 32 + (group & 1) * 16;
        const mask = at + (group & 1) * 16;
        const shift = group & 6;
        const bit = group >> 1;
        for (let i = 0; i < 16; i++) {
          const q = (bytes[quants + i]! >> shift) & 3;
          out[o + group * 16 + i] = dl * ((bytes[mask + i]! >> bit) & 1 ? q : q - 4);
        }
      }
    }
  },
  Q4_K(bytes, out) {
    const half = float16Table();
    const scales = new Uint8Array(16);
    for (let at = 0, o = 0; o < out.length; at += 144, o += 256) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const dmin = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      unpackScales(bytes, at + 4, scales);
      for (let group = 0; group < 8; group++) {
        const dl = d * scales[group]!;
        const ml = dmin * scales[8 + group]!;
        const quants = at + 16 + (group >> 1) * 32;
        const shift = (group & 1) * 4;
        for (let i = 0; i < 32; i++) out[o + group * 32 + i] = dl * ((bytes[quants + i]! >> shift) & 15) - ml;
      }
    }
  },
  Q5_K(bytes, out) {
    const half = float16Table();
    const scales = new Uint8Array(16);
    for (let at = 0, o = 0; o < out.length; at += 176, o += 256) {
      const d = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const dmin = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      unpackScales(bytes, at + 4, scales);
      for (let group = 0; group < 8; group++) {
        const dl = d * scales[group]!;
        const ml = dmin * scales[8 + group]!;
        const quants = at + 48 + (group >> 1) * 32;
        const shift = (group & 1) * 4;
        for (let i = 0; i < 32; i++) {
          const high = (bytes[at + 16 + i]! >> group) & 1;
          out[o + group * 32 + i] = dl * (((bytes[quants + i]! >> shift) & 15) | (high << 4)) - ml;
        }
      }
    }
  },
  Q6_K(bytes, out) {
    const half = float16Table();
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0, o = 0; o < out.length; at += 210, o += 256) {
      const d = half[bytes[at + 208]! | (bytes[at + 209]! << 8)]!;
      for (let group = 0; group < 8; group++) {
        // Groups of 32: four share 64 bytes of low nibbles and 32 bytes of high bit pairs.
        const inner = group & 3;
        const low = at + (group >> 2) * 64 + (inner & 1) * 32;
        const lowShift = (inner >> 1) * 4;
        const high = at + 128 + (group >> 2) * 32;
        for (let i = 0; i < 32; i++) {
          const q = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> (2 * inner)) & 3) << 4);
          const scale = signed[at + 192 + group * 2 + (i >> 4)]!;
          out[o + group * 32 + i] = d * scale * (q - 32);
        }
      }
    }
  },
};

/** The types that `dequantize` reads. */
export const READABLE_TYPES = Object.keys(DECODERS) as TensorTypeName[];

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Eight 6-bit scales, then eight 6-bit minima, out of 12 bytes (Q4_K, Q5_K). */
function unpackScales(bytes: Uint8Array, at: number, out: Uint8Array): void {
  for (let i = 0; i < 4; i++) {
    const first = bytes[at + i]!;
    const second = bytes[at + 4 + i]!;
    const third = bytes[at + 8 + i]!;
    out[i] = first & 63;
    out[4 + i] = (third & 15) | ((first >> 2) & 48);
    out[8 + i] = second & 63;
    out[12 + i] = (third >> 4) | ((second >> 2) & 48);
  }
}
