import { describe, expect, it } from 'vitest';
import { enableGrad, grad, noGrad, ops, type Tensor, tensor, tidy, withoutDenormals } from './index.ts';

const leaf = (...values: number[]) => tensor(values, { dtype: 'float64' }).setRequiresGrad(true);
const numbers = (t: Tensor | null | undefined) => (t ? [...t.toFloat64()] : t);

describe('grad', () => {
  it('differentiates: d(x²)/dx = 2x', () => {
    const x = leaf(1, 2, 3);
    const [gradient] = grad([ops.sum(ops.square(x))], [x]);
    expect(numbers(gradient)).toEqual([2, 4, 6]);
  });

  it('gives null for an input that is not used', () => {
    const [x, unused] = [leaf(1), leaf(1)];
    expect(grad([ops.square(x)], [x, unused]).map(numbers)).toEqual([[2], null]);
  });

  it('weighs outputs by gradOutputs', () => {
    const x = leaf(1, 2);
    const seed = tensor([10, 100], { dtype: 'float64' });
    expect(numbers(grad([ops.square(x)], [x], [seed])[0])).toEqual([20, 400]);
    expect(numbers(grad([ops.square(x), ops.mul(x, 3)], [x], [seed, seed])[0])).toEqual([50, 700]);
  });

  it('walks segments from the top down, like one graph', () => {
    const [x, w] = [leaf(0.3, -0.7), leaf(1.1, 0.4)];
    const whole = grad([ops.sum(ops.tanh(ops.mul(ops.tanh(ops.mul(x, w)), w)))], [x, w]);

    const lower = ops.tanh(ops.mul(x, w));
    const cut = ops.detach(lower).setRequiresGrad(true);
    const upper = ops.sum(ops.tanh(ops.mul(cut, w)));
    const [atCut, fromUpper] = grad([upper], [cut, w]);
    const [fromX, fromLower] = grad([lower], [x, w], [atCut!]);

    expect(numbers(fromX)).toEqual(numbers(whole[0]));
    expect(numbers(ops.add(fromUpper!, fromLower!))).toEqual(numbers(whole[1]));
  });

  it('frees the graph unless told to retain it', () => {
    const x = leaf(2);
    const y = ops.square(x);
    expect(numbers(grad([y], [x], [null], { retainGraph: true })[0])).toEqual([4]);
    expect(numbers(grad([y], [x])[0])).toEqual([4]);
    expect(() => grad([y], [x])).toThrow(expect.objectContaining({ code: 'operator-failed' }));
  });

  it('differentiates twice', () => {
    const x = leaf(2);
    const [first] = grad([ops.pow(x, 3)], [x], [null], { createGraph: true });
    expect(numbers(grad([first!], [x])[0])).toEqual([12]);
  });

  it('explains a missing seed', () => {
    expect(() => grad([leaf(1, 2)], [leaf(1)])).toThrow('grad: ');
  });
});

describe('recording', () => {
  it('stops inside noGrad and resumes after it, exceptions included', () => {
    const x = leaf(1);
    expect(noGrad(() => ops.square(x).requiresGrad)).toBe(false);
    expect(noGrad(() => enableGrad(() => ops.square(x).requiresGrad))).toBe(true);
    expect(() =>
      noGrad(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(ops.square(x).requiresGrad).toBe(true);
  });

  it.each([
    ['noGrad', noGrad],
    ['enableGrad', enableGrad],
    ['withoutDenormals', withoutDenormals],
  ])('%s refuses a body that would go on after it', (name, run) => {
    expect(() => run(async () => {})).toThrow(
      expect.objectContaining({ code: 'async-body', message: expect.stringContaining(`${name}()`) }),
    );
    expect(ops.square(leaf(1)).requiresGrad).toBe(true);
  });

  it('refuses to write to a leaf in place while recording', () => {
    const x = leaf(1);
    expect(() => ops.add_(x, 1)).toThrow('in-place');
    tidy(() => noGrad(() => ops.add_(x, 1)));
    expect(x.item()).toBe(2);
  });
});
