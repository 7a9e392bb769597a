import { EngineError, UsageError } from '../errors.ts';
import type { DType, HostArray } from './contract.ts';

/** libtorch's `c10::ScalarType` codes of the dtypes in use. */
const codes: Readonly<Record<DType, number>> = {
  int32: 3,
  int64: 4,
  float16: 5,
  float32: 6,
  float64: 7,
  bool: 11,
  bfloat16: 15,
};

const names = new Map<number, DType>(Object.entries(codes).map(([name, code]) => [code, name as DType]));

/** Bytes of one element. */
export const bytesPerElement: Readonly<Record<DType, number>> = {
  float64: 8,
  float32: 4,
  bfloat16: 2,
  float16: 2,
  int64: 8,
  int32: 4,
  bool: 1,
};

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(codes, value);
}

export function isFloating(dtype: DType): boolean {
  return dtype === 'float64' || dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16';
}

/** How the floating-point dtypes are written: as here, as in recipes, and as in GGUF files. */
const FLOAT_SPELLINGS = {
  float64: ['float64', 'fp64', 'f64', 'F64'],
  float32: ['float32', 'fp32', 'f32', 'F32'],
  float16: ['float16', 'fp16', 'f16', 'F16'],
  bfloat16: ['bfloat16', 'bf16', 'BF16'],
} as const satisfies Partial<Record<DType, readonly string[]>>;

export type FloatDType = keyof typeof FLOAT_SPELLINGS;

/** Every spelling of one of these dtypes. */
export type FloatSpelling<Name extends FloatDType = FloatDType> = (typeof FLOAT_SPELLINGS)[Name][number];

/**
 * The dtype that a spelling means, if it is one of `accepted`.
 *
 * @param others what else the caller takes, for the error's list
 * @throws UsageError `unknown-dtype` with what is accepted
 */
export function floatDType<Name extends FloatDType>(
  spelling: FloatSpelling<Name>,
  accepted: readonly Name[],
  others: readonly string[] = [],
): Name {
  const named = accepted.find((name) => (FLOAT_SPELLINGS[name] as readonly string[]).includes(spelling));
  if (named !== undefined) return named;
  const known = accepted.map((name) => `${name} (${FLOAT_SPELLINGS[name].slice(1).join(', ')})`);
  throw new UsageError('unknown-dtype', `There is no dtype ${JSON.stringify(spelling)} here.`, {
    hint: `Choose one of: ${[...others, ...known].join(', ')}.`,
  });
}

/** What numbers of a dtype are summed and drawn in: fp32 for half precision. */
export function wideDType(dtype: DType): 'float64' | 'float32' {
  return dtype === 'float64' ? 'float64' : 'float32';
}

export function dtypeCode(dtype: DType): number {
  const code = codes[dtype];
  if (code === undefined) {
    throw new EngineError(
      'unknown-dtype',
      `unknown dtype ${String(dtype)}; known: ${Object.keys(codes).join(', ')}`,
    );
  }
  return code;
}

export function dtypeOfCode(code: number): DType {
  const name = names.get(code);
  if (name === undefined) {
    throw new EngineError(
      'unknown-dtype',
      `the engine returned a tensor whose dtype (code ${code}) is not supported`,
      {
        hint: 'Convert it to float32 or int64 with ops.to before reading it.',
      },
    );
  }
  return name;
}

/** The dtype whose elements a typed array holds; a Uint8Array holds booleans. */
export function dtypeOfArray(array: HostArray): DType {
  if (array instanceof Float32Array) return 'float32';
  if (array instanceof Float64Array) return 'float64';
  if (array instanceof BigInt64Array) return 'int64';
  if (array instanceof Int32Array) return 'int32';
  return 'bool';
}
