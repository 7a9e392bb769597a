/**
 * GGUF, the file format of llama.cpp, versions 2 and 3 (little-endian): a magic number, counts, metadata as typed
 * key-value pairs, tensor descriptions, padding, tensor data.
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export const GGUF_MAGIC = 0x46554747;
export const GGUF_VERSION = 3;
export const DEFAULT_ALIGNMENT = 32;

export const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

export type GgufValueType = (typeof VALUE_TYPES)[number];

export type GgufScalar = number | bigint | boolean | string;

/** 64-bit integers arrive as numbers where they are exact, else as bigint. Arrays do not nest in any known file. */
export type GgufValue = GgufScalar | readonly GgufScalar[];

/** A metadata entry to write. */
export type GgufField =
  | { readonly key: string; readonly type: Exclude<GgufValueType, 'array'>; readonly value: GgufScalar }
  | {
      readonly key: string;
      readonly type: 'array';
      readonly items: Exclude<GgufValueType, 'array'>;
      readonly value: readonly GgufScalar[];
    };

export interface TensorType {
  readonly code: number;
  /** Elements in a block, which lie next to one another in a row. */
  readonly block: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

/** Every type that a file may state, so that its size can be checked and an unsupported one can be named. */
export const TENSOR_TYPES = {
  F32: { code: 0, block: 1, bytes: 4 },
  F16: { code: 1, block: 1, bytes: 2 },
  Q4_0: { code: 2, block: 32, bytes: 18 },
  Q4_1: { code: 3, block: 32, bytes: 20 },
  Q5_0: { code: 6, block: 32, bytes: 22 },
  Q5_1: { code: 7, block: 32, bytes: 24 },
  Q8_0: { code: 8, block: 32, bytes: 34 },
  Q8_1: { code: 9, block: 32, bytes: 40 },
  Q2_K: { code: 10, block: 256, bytes: 84 },
  Q3_K: { code: 11, block: 256, bytes: 110 },
  Q4_K: { code: 12, block: 256, bytes: 144 },
  Q5_K: { code: 13, block: 256, bytes: 176 },
  Q6_K: { code: 14, block: 256, bytes: 210 },
  Q8_K: { code: 15, block: 256, bytes: 292 },
  IQ2_XXS: { code: 16, block: 256, bytes: 66 },
  IQ2_XS: { code: 17, block: 256, bytes: 74 },
  IQ3_XXS: { code: 18, block: 256, bytes: 98 },
  IQ1_S: { code: 19, block: 256, bytes: 50 },
  IQ4_NL: { code: 20, block: 32, bytes: 18 },
  IQ3_S: { code: 21, block: 256, bytes: 110 },
  IQ2_S: { code: 22, block: 256, bytes: 82 },
  IQ4_XS: { code: 23, block: 256, bytes: 136 },
  I8: { code: 24, block: 1, bytes: 1 },
  I16: { code: 25, block: 1, bytes: 2 },
  I32: { code: 26, block: 1, bytes: 4 },
  I64: { code: 27, block: 1, bytes: 8 },
  F64: { code: 28, block: 1, bytes: 8 },
  IQ1_M: { code: 29, block: 256, bytes: 56 },
  BF16: { code: 30, block: 1, bytes: 2 },
  TQ1_0: { code: 34, block: 256, bytes: 54 },
  TQ2_0: { code: 35, block: 256, bytes: 66 },
  MXFP4: { code: 39, block: 32, bytes: 17 },
} as const satisfies Record<string, TensorType>;

export type TensorTypeName = keyof typeof TENSOR_TYPES;

const NAME_OF_CODE = new Map<number, TensorTypeName>(
  Object.entries(TENSOR_TYPES).map(([name, type]) => [type.code, name as TensorTypeName]),
);

export function tensorTypeName(code: number): TensorTypeName | undefined {
  return NAME_OF_CODE.get(code);
}

/** `general.file_type`: what most of the file's matrices are stored as. */
export const FILE_TYPES = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 } as const;
