import { type FloatSpelling, floatDType } from '../engine/index.ts';

const DTYPES = ['float32', 'float16', 'bfloat16'] as const;

/** What saved weights are stored as; `q8_0` is GGUF's 8-bit blocks. */
export type StoredType = (typeof DTYPES)[number] | 'q8_0';

/** Every spelling of it: `bf16`, `bfloat16`, `BF16`. */
export type WeightType = FloatSpelling<(typeof DTYPES)[number]> | 'q8_0' | 'Q8_0';

/** @throws UsageError `unknown-dtype` for what weights are not saved as */
export function storedType(type: WeightType): StoredType {
  return type === 'q8_0' || type === 'Q8_0' ? 'q8_0' : floatDType(type, DTYPES, ['q8_0 (Q8_0)']);
}
