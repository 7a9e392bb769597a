import { describe, expect, it } from 'vitest';
import { grad, keep, memory, ops, type Tensor, tensor, tidy, zeros } from './index.ts';

const live = () => memory().liveTensors;

describe('tidy', () => {
  it('disposes what was made inside and keeps what is returned', () => {
    const before = live();
    let inner: Tensor | undefined;
    const result = tidy(() => {
      inner = zeros([2]);
      return ops.add(inner, 1);
    });
    expect(inner?.isDisposed).toBe(true);
    expect([...result.toFloat64()]).toEqual([1, 1]);
    expect(live()).toBe(before + 1);
    result.dispose();
    expect(live()).toBe(before);
  });

  it('finds tensors in arrays, maps, sets and objects, cycles included', () => {
    const before = live();
    const made = tidy(() => {
      const node: { self?: object; deep: unknown[] } = {
        deep: [new Map([['a', zeros([1])]]), new Set([zeros([1])])],
      };
      node.self = node;
      zeros([1]);
      return { node, list: [zeros([1]), null, 3], bytes: new Uint8Array(2) };
    });
    expect(live()).toBe(before + 3);
    expect(made.list).toHaveLength(3);
  });

  it('nests: results move one scope outwards at a time', () => {
    const before = live();
    const total = tidy(() => {
      const x = tidy(() => {
        const y = tidy(() => ops.add(zeros([1]), 1));
        expect(live()).toBe(before + 1);
        return ops.add(y, 1);
      });
      expect(live()).toBe(before + 1);
      return x.item();
    });
    expect(total).toBe(2);
    expect(live()).toBe(before);
  });

  it('disposes everything when the body throws, at any depth', () => {
    const before = live();
    const outer = zeros([1]);
    expect(() =>
      tidy(() => {
        ops.add(outer, 1);
        tidy(() => {
          ops.add(outer, 2);
          throw new Error('stop');
        });
      }),
    ).toThrow('stop');
    expect(live()).toBe(before + 1);
    expect(outer.isDisposed).toBe(false);
    tidy(() => zeros([1]).item());
    expect(live()).toBe(before + 1);
    outer.dispose();
  });

  it('leaves tensors of outer scopes alone when they are returned again', () => {
    const x = zeros([1]);
    tidy(() => {
      expect(tidy(() => x)).toBe(x);
      expect(x.isDisposed).toBe(false);
    });
    expect(x.isDisposed).toBe(false);
    x.dispose();
  });

  it('spares kept tensors, whatever happens', () => {
    const before = live();
    let kept: Tensor | undefined;
    expect(() =>
      tidy(() => {
        kept = tidy(() => keep(zeros([1])));
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(kept?.isDisposed).toBe(false);
    expect(live()).toBe(before + 1);
    kept?.dispose();
  });

  it('refuses asynchronous bodies', () => {
    expect(() => tidy(async () => zeros([1]))).toThrow(expect.objectContaining({ code: 'async-body' }));
  });

  it('closes before the backward pass without breaking the graph', () => {
    const x = tensor([3]).setRequiresGrad(true);
    const y = tidy(() => ops.mul(ops.exp(ops.log(x)), x));
    expect(grad([y], [x])[0]?.item()).toBeCloseTo(6, 5);
  });

  it('keeps the live count flat over a long loop', () => {
    const weight = zeros([8, 8]).setRequiresGrad(true);
    const step = () =>
      tidy(() => {
        const loss = ops.sum(ops.square(ops.mm(weight, weight)));
        return grad([loss], [weight])[0]?.shape;
      });
    step();
    const before = live();
    for (let i = 0; i < 200; i++) step();
    expect(live()).toBe(before);
    weight.dispose();
  });
});
