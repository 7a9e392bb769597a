import { describe, expect, it } from 'vitest';
import { EngineError } from '../errors.ts';
import { arange, full, ops, type Tensor, tensor, zeros } from './index.ts';

const matrix = () => tensor([1, 2, 3, 4], { shape: [2, 2] });
const numbers = (t: Tensor) => [...t.toFloat64()];

describe('operators against hand values', () => {
  it('multiplies matrices', () => {
    expect(numbers(ops.mm(matrix(), matrix()))).toEqual([7, 10, 15, 22]);
    expect(numbers(ops.linear(tensor([1, 1], { shape: [1, 2] }), matrix(), tensor([10, 20])))).toEqual([
      13, 27,
    ]);
    const addend = full([2, 2], 1);
    expect(numbers(ops.addmm(addend, matrix(), matrix(), { beta: 2, alpha: 0.5 }))).toEqual([
      5.5, 7, 9.5, 13,
    ]);
  });

  it('tells tensors from scalars', () => {
    expect(numbers(ops.add(matrix(), 2))).toEqual([3, 4, 5, 6]);
    expect(numbers(ops.add(matrix(), matrix(), { alpha: 3 }))).toEqual([4, 8, 12, 16]);
    expect(numbers(ops.add(matrix(), 1, { alpha: 3 }))).toEqual([4, 5, 6, 7]);
    expect(numbers(ops.pow(matrix(), 2))).toEqual([1, 4, 9, 16]);
    expect(numbers(ops.pow(2, matrix()))).toEqual([2, 4, 8, 16]);
    expect(numbers(ops.pow(matrix(), matrix()))).toEqual([1, 4, 27, 256]);
    expect(numbers(ops.where(ops.gt(matrix(), 2), matrix(), -1))).toEqual([-1, -1, 3, 4]);
    expect(numbers(ops.where(ops.gt(matrix(), 2), 0, matrix()))).toEqual([1, 2, 0, 0]);
  });

  it('chooses reductions by their arguments', () => {
    expect(ops.sum(matrix()).item()).toBe(10);
    expect(ops.sum(matrix(), { dtype: 'float64' }).dtype).toBe('float64');
    expect(numbers(ops.sum(matrix(), 0))).toEqual([4, 6]);
    expect(ops.sum(matrix(), [0, 1], true).shape).toEqual([1, 1]);
    const [values, indices] = ops.max(matrix(), 1);
    expect([numbers(values), numbers(indices)]).toEqual([
      [2, 4],
      [1, 1],
    ]);
    expect(ops.max(matrix()).item()).toBe(4);
    expect(ops.var(matrix(), null, { correction: 0 }).item()).toBe(1.25);
  });

  it('returns the same tensor from an in-place operator', () => {
    const x = matrix();
    expect(ops.mul_(x, 2)).toBe(x);
    expect(numbers(x)).toEqual([2, 4, 6, 8]);
  });

  it('keeps integers integer and floats float', () => {
    const whole = arange(3);
    expect(ops.add(whole, 1).dtype).toBe('int64');
    expect(ops.add(whole, 0.5).dtype).toBe('float32');
    expect(ops.add(whole, 2n ** 53n + 1n).toArray()).toEqual(
      BigInt64Array.of(2n ** 53n + 1n, 2n ** 53n + 2n, 2n ** 53n + 3n),
    );
    expect(Object.is(ops.mul(full([1], 1), -0).item(), -0)).toBe(true);
    expect(ops.fill_(zeros([1]), Number.POSITIVE_INFINITY).item()).toBe(Number.POSITIVE_INFINITY);
    expect(ops.fill_(zeros([1]), Number.NaN).item()).toBeNaN();
  });

  it('handles lists of tensors, optional entries and several results', () => {
    expect(numbers(ops.cat([matrix(), matrix()], 1))).toEqual([1, 2, 1, 2, 3, 4, 3, 4]);
    const parts = ops.splitWithSizes(arange(5), [2, 3]);
    expect(parts.map(numbers)).toEqual([
      [0, 1],
      [2, 3, 4],
    ]);
    const rows = zeros([3, 2]);
    ops.indexPut_(rows, [null, tensor([1], { dtype: 'int64' })], tensor([1, 2, 3], { shape: [3, 1] }));
    expect(numbers(rows)).toEqual([0, 1, 0, 2, 0, 3]);
    const [normed, mean] = ops.nativeLayerNorm(matrix(), [2], null, null, 0);
    expect([numbers(normed), numbers(mean)]).toEqual([
      [-1, 1, -1, 1],
      [1.5, 3.5],
    ]);
  });

  it('steps AdamW as the formula says', () => {
    const [weight, gradient] = [tensor([1]), tensor([0.5])];
    const [first, second, step] = [zeros([1]), zeros([1]), tensor([1])];
    const options = {
      lr: 0.1,
      beta1: 0.9,
      beta2: 0.999,
      weightDecay: 0.01,
      eps: 1e-8,
      amsgrad: false,
      maximize: false,
    };
    ops._fusedAdamw_([weight], [gradient], [first], [second], [], [step], options);
    // decay 1 − 0.1·0.01, then a first step of lr · m̂/√v̂ = lr
    expect(weight.item()).toBeCloseTo(0.999 - 0.1, 6);
  });
});

describe('what is refused', () => {
  const error = (body: () => unknown): EngineError => {
    try {
      body();
    } catch (thrown) {
      if (thrown instanceof EngineError) return thrown;
      throw thrown;
    }
    throw new Error('nothing was thrown');
  };

  it('names the operator, its arguments and the reason', () => {
    const { code, message } = error(() => ops.mm(matrix(), zeros([3, 4], { dtype: 'float64' })));
    expect(code).toBe('operator-failed');
    expect(message).toContain('aten::mm(self float32[2, 2], mat2 float64[3, 4])');
    expect(error(() => ops.mm(matrix(), zeros([3, 4]))).message).toContain(
      'mat1 and mat2 shapes cannot be multiplied (2x2 and 3x4)',
    );
    expect(error(() => ops.cat([matrix(), zeros([1])])).message).toContain(
      'tensors [float32[2, 2], float32[1]]',
    );
  });

  it('takes no number for a tensor', () => {
    const { code, message } = error(() => ops.mm(matrix(), 1 as unknown as Tensor));
    expect([code, message]).toEqual(['invalid-argument', 'a Tensor is expected, not number (1)']);
  });

  it.each([Number.NaN, 0.5, 2 ** 60, Number.POSITIVE_INFINITY])('takes %s for no integer', (value) => {
    const { code, message } = error(() => ops.select(matrix(), value, 0));
    expect(code).toBe('invalid-argument');
    expect(message).toContain("argument 'dim': an integer is expected");
  });

  it('takes no string for a boolean or number', () => {
    expect(error(() => ops.softmax(matrix(), '0' as unknown as number)).message).toContain(
      'an integer is expected',
    );
    expect(error(() => ops.sum(matrix(), 0, 'yes' as unknown as boolean)).message).toContain(
      'a boolean is expected',
    );
    expect(error(() => ops.zeros([2], { dtype: 'float31' as 'float32' })).code).toBe('unknown-dtype');
  });
});
