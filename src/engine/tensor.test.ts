import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arange, type DType, empty, full, ones, ops, scalar, tensor, zeros } from './index.ts';

describe('host arrays', () => {
  it('makes tensors of plain numbers and typed arrays', () => {
    expect(tensor([1, 2, 3]).dtype).toBe('float32');
    expect(tensor(Float64Array.of(0.1)).toArray()).toEqual(Float64Array.of(0.1));
    expect(tensor(BigInt64Array.of(-(2n ** 63n))).toArray()).toEqual(BigInt64Array.of(-(2n ** 63n)));
    expect(tensor(Int32Array.of(-7)).toArray()).toEqual(Int32Array.of(-7));
    expect(tensor(Uint8Array.of(1, 0), { dtype: 'bool' }).toArray()).toEqual(Uint8Array.of(1, 0));
    expect(tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] }).shape).toEqual([2, 3]);
    expect(scalar(2.5).shape).toEqual([]);
    expect(tensor([], { shape: [0, 4] }).shape).toEqual([0, 4]);
  });

  it.each<[DType, number]>([
    ['float64', 0.1],
    ['float32', Math.fround(0.1)],
    ['bfloat16', 0.10009765625],
    ['float16', 0.0999755859375],
  ])('rounds 0.1 to %s as IEEE says', (dtype, expected) => {
    const x = tensor([0.1], { dtype });
    expect([x.dtype, x.item(), x.toFloat64()[0]]).toEqual([dtype, expected, expected]);
  });

  it('round-trips integers and booleans', () => {
    const ids = tensor([-1, 0, 2 ** 53 - 1], { dtype: 'int64' });
    expect(ids.toArray()).toEqual(BigInt64Array.of(-1n, 0n, 2n ** 53n - 1n));
    expect([...tensor([1, 0, 1], { dtype: 'bool' }).toArray()]).toEqual([1, 0, 1]);
    expect([...tensor([3, -4], { dtype: 'int32' }).toFloat64()]).toEqual([3, -4]);
  });

  it('reads any float32 array back bit for bit', () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 50 }), (values) => {
        expect(tensor(values).toArray()).toEqual(values);
      }),
    );
  });

  it('reads a transposed view in row-major order', () => {
    const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
    expect([...ops.t(x).toFloat64()]).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it('refuses numbers that the dtype cannot hold, and shapes that do not fit', () => {
    expect(() => tensor([1.5], { dtype: 'int64' })).toThrow('element 0 is 1.5; expected a whole number');
    expect(() => tensor([0, 2], { dtype: 'bool' })).toThrow('element 1 is 2; expected 0 or 1');
    expect(() => tensor([2 ** 31], { dtype: 'int32' })).toThrow('element 0 is 2147483648');
    expect(() => tensor([1, 2], { shape: [3] })).toThrow('the shape asks for 3 numbers, but 2 are given');
    expect(() => tensor([1, 2]).item()).toThrow('a tensor with one element is expected, not float32[2]');
  });
});

describe('making tensors', () => {
  it('fills them', () => {
    expect([...zeros([2]).toFloat64(), ...ones([1]).toFloat64(), ...full([1], 3).toFloat64()]).toEqual([
      0, 0, 1, 3,
    ]);
    expect(full([1], 3).dtype).toBe('float32');
    expect(empty([2, 3], { dtype: 'bfloat16' }).shape).toEqual([2, 3]);
    expect(arange(3).toArray()).toEqual(BigInt64Array.of(0n, 1n, 2n));
    expect(arange(3, { dtype: 'float32' }).dtype).toBe('float32');
  });
});

describe('a disposed tensor', () => {
  it('is an error to use, and harmless to dispose again', () => {
    const x = zeros([2, 2]);
    expect(x.shape).toEqual([2, 2]);
    x.dispose();
    x.dispose();
    expect(x.isDisposed).toBe(true);
    for (const use of [
      () => ops.exp(x),
      () => x.item(),
      () => x.dtype,
      () => ops.cat([x]),
      () => x.requiresGrad,
    ]) {
      expect(use).toThrow(
        expect.objectContaining({
          code: 'tensor-disposed',
          message: 'the tensor of shape [2, 2] was disposed before this use',
        }),
      );
    }
    expect(String(x)).toBe('Tensor(disposed of shape [2, 2])');
  });

  it('leaves its views alive', () => {
    const x = tensor([1, 2]);
    const view = ops.view(x, [2, 1]);
    x.dispose();
    expect([...view.toFloat64()]).toEqual([1, 2]);
  });
});

it('prints as dtype and shape', () => {
  expect(String(zeros([2, 3]))).toBe('Tensor float32[2, 3]');
});
