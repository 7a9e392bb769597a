import { ops, type Tensor, tidy } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import { toBfloat16, toFloat16 } from './half.ts';

/** A tensor's elements, row-major and little-endian. */
export function tensorBytes(tensor: Tensor): Uint8Array {
  const values = tensor.toArray();
  if (tensor.dtype === 'bfloat16') return bytesOf(toBfloat16(values as Float32Array));
  if (tensor.dtype === 'float16') return bytesOf(toFloat16(values as Float32Array));
  return bytesOf(values);
}

/** The values of a floating tensor as float32 on the host. */
export function tensorFloats(tensor: Tensor): Float32Array {
  const values = tidy(() => (tensor.dtype === 'float64' ? ops.to(tensor, 'float32') : tensor).toArray());
  if (values instanceof Float32Array) return values;
  throw new ModelError(
    'dtype-unsupported',
    `A weight of dtype ${tensor.dtype} cannot be exported as floating point.`,
  );
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
