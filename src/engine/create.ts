import { EngineError } from '../errors.ts';
import { addon } from './addon.ts';
import type { DType, HostArray, TensorOptions } from './contract.ts';
import { dtypeCode, dtypeOfArray } from './dtypes.ts';
import * as ops from './ops.generated.ts';
import { type Tensor, wrap } from './tensor.ts';

export interface TensorDataOptions extends TensorOptions {
  /** Defaults to one dimension. */
  readonly shape?: readonly number[];
}

/**
 * A tensor holding a copy of `data`, row-major. The dtype defaults to the typed array's own (a Uint8Array holds
 * booleans), and to float32 for plain numbers.
 */
export function tensor(data: readonly number[] | HostArray, options: TensorDataOptions = {}): Tensor {
  const dtype = options.dtype ?? (ArrayBuffer.isView(data) ? dtypeOfArray(data) : 'float32');
  const host = ArrayBuffer.isView(data) ? data : hostArray(data, dtype);
  return wrap(
    addon().fromHost(host, options.shape ?? [host.length], dtypeCode(dtype), options.device ?? 'cpu'),
  );
}

/** A scalar (zero-dimensional) tensor. */
export function scalar(value: number, options: TensorOptions = {}): Tensor {
  return tensor([value], { ...options, shape: [] });
}

export function zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return ops.zeros(shape, withDefaults(options));
}

export function ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return ops.ones(shape, withDefaults(options));
}

export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
  return ops.full(shape, value, withDefaults(options));
}

/** Memory as it comes: every element has to be written before it is read. */
export function empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return ops.empty(shape, withDefaults(options));
}

/** 0, 1, …, n − 1; int64 unless said otherwise. */
export function arange(n: number, options: TensorOptions = {}): Tensor {
  return ops.arange(0, n, 1, { dtype: options.dtype ?? 'int64', device: options.device ?? 'cpu' });
}

function withDefaults(options: TensorOptions): Required<TensorOptions> {
  return { dtype: options.dtype ?? 'float32', device: options.device ?? 'cpu' };
}

function hostArray(data: readonly number[], dtype: DType): HostArray {
  switch (dtype) {
    case 'float64':
      return Float64Array.from(data);
    case 'float32':
    case 'bfloat16':
    case 'float16':
      return Float32Array.from(data);
    case 'int64':
      return BigInt64Array.from(data, (value, i) => BigInt(wholeNumber(value, i, Number.MAX_SAFE_INTEGER)));
    case 'int32':
      return Int32Array.from(data, (value, i) => wholeNumber(value, i, 2 ** 31 - 1));
    case 'bool':
      return Uint8Array.from(data, (value, i) => {
        if (value !== 0 && value !== 1) throw notRepresentable(value, i, '0 or 1');
        return value;
      });
  }
}

function wholeNumber(value: number, index: number, largest: number): number {
  if (!Number.isInteger(value) || Math.abs(value) > largest) {
    throw notRepresentable(value, index, `a whole number within ±${largest}`);
  }
  return value;
}

function notRepresentable(value: number, index: number, expected: string): EngineError {
  return new EngineError('invalid-argument', `element ${index} is ${value}; expected ${expected}`);
}
