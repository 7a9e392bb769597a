import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DType,
  enableGrad,
  Generator,
  grad,
  multiplier,
  noGrad,
  ops,
  setMatmulPrecision,
  type Tensor,
  tidy,
  wideDType,
} from '../engine/index.ts';
import { EngineError } from '../errors.ts';
import { FusedAttention } from './attention/fused.ts';
import { PiecewiseAttention } from './attention/piecewise.ts';
import type { ModelConfig, Segment } from './contract.ts';

/** Allowed difference of two ways to compute the same, relative to the largest value, or to 1 where all cancel. */
const TOLERANCE: Partial<Record<DType, number>> = { float64: 1e-12, float32: 2e-5, bfloat16: 2e-2 };
const DTYPES: readonly DType[] = ['float64', 'float32', 'bfloat16'];

function random(shape: readonly number[], dtype: DType, seed: number): Tensor {
  const generator = new Generator(seed);
  return ops.to(ops.randn([...shape], { generator, dtype: 'float64', device: 'cpu' }), dtype);
}

/** A fixed direction, the same numbers in every dtype. */
const anyDirection = (shape: readonly number[]) => random(shape, 'bfloat16', 99);

/** Output and gradients of `f` at `inputs`, for one direction. */
function both(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  directionOf = anyDirection,
): Float64Array[] {
  return tidy(() => {
    const leaves = inputs.map((input) => noGrad(() => ops.detach(input)).setRequiresGrad(true));
    const output = enableGrad(() => f(...leaves));
    const direction = ops.to(directionOf(output.shape), output.dtype);
    const gradients = grad([output], leaves, [direction]);
    return [output, ...gradients].map((x) => x!.toFloat64());
  });
}

/**
 * Size of the sums that the results of `both` are, were the signs of all factors drawn anew. Roundings on the way to
 * a result are in proportion to this: the result itself may be a small difference of large terms.
 *
 * @param squared - The map with all that it multiplies by squared; it must be linear in each input.
 */
function sizesOfSums(squared: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): number[] {
  const results = both(squared, inputs.map(exact).map(ops.square), (shape) =>
    ops.square(exact(anyDirection(shape))),
  );
  return results.map((squares) => Math.sqrt(squares.reduce((most, square) => Math.max(most, square), 0)));
}

function expectSame(
  actual: readonly Float64Array[],
  expected: readonly Float64Array[],
  tolerance: number,
  sizes?: readonly number[],
) {
  expect(actual.length).toBe(expected.length);
  for (const [index, values] of actual.entries()) {
    const wanted = expected[index]!;
    expect(values.length).toBe(wanted.length);
    const least = Math.max(1, sizes?.[index] ?? 1);
    const size = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), least);
    const error = values.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
    expect(error / size, `result ${index}`).toBeLessThan(tolerance);
  }
}

/** Composed in fp64 from the same (rounded) inputs: the truth that a kernel of any dtype is held against. */
const exact = (x: Tensor) => ops.to(x, 'float64');

describe.each(DTYPES)('the CPU kernels in %s', (dtype) => {
  const tolerance = TOLERANCE[dtype]!;
  const shapes = fc.record({ rows: fc.integer({ min: 1, max: 70 }), width: fc.integer({ min: 1, max: 90 }) });
  const seeds = fc.integer({ min: 1, max: 1000 });

  it('norm rows as libtorch does, with the gradient of the weight summed over many rows', () => {
    fc.assert(
      fc.property(shapes, seeds, ({ rows, width }, seed) => {
        const inputs = [random([rows, width], dtype, seed), random([width], dtype, seed + 1)];
        const composed = (x: Tensor, w: Tensor) => ops.rmsNorm(x, [width], w, 1e-5);
        expectSame(
          both((x, w) => ops.fusedRmsNorm(x!, w!, 1e-5), inputs),
          both((x, w) => composed(x!, w!), inputs.map(exact)),
          tolerance,
        );
      }),
      { numRuns: 20 },
    );
  });

  it('norm rows with a weight in the wide type, rounded once', () => {
    const wide = wideDType(dtype);
    fc.assert(
      fc.property(shapes, seeds, ({ rows, width }, seed) => {
        const inputs = [random([rows, width], dtype, seed), random([width], wide, seed + 1)];
        expectSame(
          both((x, w) => ops.fusedRmsNorm(x!, w!, 1e-5), inputs),
          both((x, w) => ops.rmsNorm(x!, [width], w!, 1e-5), inputs.map(exact)),
          tolerance,
        );
      }),
      { numRuns: 20 },
    );
    const [x, weight] = [random([1, 64], dtype, 1), random([64], wide, 2)];
    const kernel = ops.fusedRmsNorm(x, weight, 1e-5);
    const once = ops.to(ops.rmsNorm(ops.to(x, wide), [64], weight, 1e-5), dtype);
    // Nothing but the order of one sum can differ, which half precision does not show.
    expectSame([kernel.toFloat64()], [once.toFloat64()], dtype === 'bfloat16' ? 1e-9 : tolerance);
  });

  it('gate with silu as its definition says, saturated gates included', () => {
    const gate = ops.mul(random([700, 33], dtype, 1), 40);
    const inputs = [gate, random([700, 33], dtype, 2)];
    expectSame(
      both((g, u) => ops.siluGate(g!, u!), inputs),
      both((g, u) => ops.mul(ops.silu(g!), u!), inputs.map(exact)),
      tolerance,
    );
  });

  it('gate with the tanh approximation of gelu, saturated gates included', () => {
    const gate = ops.mul(random([700, 33], dtype, 1), 5);
    const inputs = [gate, random([700, 33], dtype, 2)];
    expectSame(
      both((g, u) => ops.geluGate(g!, u!), inputs),
      both((g, u) => ops.mul(ops.gelu(g!, { approximate: 'tanh' }), u!), inputs.map(exact)),
      tolerance,
    );
  });

  it('rotate strided heads, whole or in part', () => {
    for (const [width, headWidth] of [
      [8, 8],
      [6, 10],
      [64, 64],
    ] as const) {
      const cos = random([37, 1, width], dtype, 3);
      const sin = random([37, 1, width], dtype, 4);
      const x = random([37, 3 * headWidth + 5], dtype, 5);
      const heads = (flat: Tensor) =>
        ops.view(ops.contiguous(ops.narrow(flat, 1, 2, 3 * headWidth)), [37, 3, headWidth]);
      const composed = (flat: Tensor) => {
        const [turning, passing] = ops.splitWithSizes(heads(flat), [width, headWidth - width], 2);
        const swapped = ops.roll(turning!, [width / 2], [2]);
        const turned = ops.add(ops.mul(turning!, exact(cos)), ops.mul(swapped, exact(sin)));
        return ops.cat([turned, passing!], 2);
      };
      expectSame(
        both((flat) => ops.fusedRotate(heads(flat!), cos, sin), [x]),
        both((flat) => composed(flat!), [exact(x)]),
        tolerance,
      );
    }
  });

  it('map linearly, with the gradients of input, weight and bias', () => {
    const sizes = fc.record({
      rows: fc.constantFrom(1, 31, 32, 33, 150, 300),
      from: fc.constantFrom(1, 7, 32, 40, 100, 2100),
      to: fc.constantFrom(1, 5, 32, 70, 129),
    });
    fc.assert(
      fc.property(sizes, fc.boolean(), fc.boolean(), seeds, ({ rows, from, to }, biased, stored, seed) => {
        // As rows [out, in] or, as GPT-2 does, a view of [in, out].
        const weight = stored ? random([to, from], dtype, seed + 1) : random([from, to], dtype, seed + 1);
        const inputs = [random([rows, from], dtype, seed), weight];
        if (biased) inputs.push(random([to], dtype, seed + 2));
        const map = (x?: Tensor, w?: Tensor, b?: Tensor) =>
          ops.linear(x!, stored ? w! : ops.t(w!), b ?? null);
        expectSame(both(map, inputs), both(map, inputs.map(exact)), tolerance, sizesOfSums(map, inputs));
      }),
      { numRuns: 30 },
    );
  });

  it('map linearly with a low-rank update, with the gradients of input and update', () => {
    const sizes = fc.record({
      rows: fc.constantFrom(1, 31, 33, 150, 300),
      from: fc.constantFrom(1, 32, 40, 576),
      to: fc.constantFrom(1, 32, 70, 129),
      rank: fc.constantFrom(1, 4, 16, 33),
    });
    fc.assert(
      fc.property(
        sizes,
        fc.boolean(),
        fc.boolean(),
        seeds,
        ({ rows, from, to, rank }, biased, stored, seed) => {
          const frozen = stored
            ? random([to, from], dtype, seed + 1)
            : ops.t(random([from, to], dtype, seed + 1));
          const bias = biased ? random([to], dtype, seed + 2) : null;
          const inputs = [
            [rows, from],
            [rank, from],
            [to, rank],
          ].map((shape, i) => random(shape, dtype, seed + 3 + i));
          const composed =
            (weight: Tensor, bias: Tensor | null, scale: number) => (x?: Tensor, a?: Tensor, b?: Tensor) =>
              ops.add(ops.linear(x!, weight, bias), ops.linear(ops.linear(x!, a!), b!), { alpha: scale });
          const [weight, added] = [exact(frozen), bias && exact(bias)];
          expectSame(
            both((x, a, b) => ops.adaptedLinear(x!, frozen, bias, a!, b!, 0.7), inputs),
            both(composed(weight, added, 0.7), inputs.map(exact)),
            tolerance,
            sizesOfSums(composed(ops.square(weight), added && ops.square(added), 0.7 ** 2), inputs),
          );
          const [x, a, b] = inputs;
          const nothing = ops.adaptedLinear(x!, frozen, bias, a!, ops.zerosLike(b!), 2);
          expect(nothing.toFloat64()).toEqual(ops.linear(x!, frozen, bias).toFloat64());
        },
      ),
      { numRuns: 30 },
    );
  });

  it('refuse an update of another width, and give slopes of a weight that is trained with its update', () => {
    const x = (...shape: number[]) => random(shape, dtype, 1);
    expect(() => ops.adaptedLinear(x(40, 8), x(5, 8), null, x(4, 7), x(5, 4), 1)).toThrow(EngineError);
    expect(() => ops.adaptedLinear(x(40, 8), x(5, 8), null, x(4, 8), x(6, 4), 1)).toThrow(EngineError);
    const inputs = [x(40, 8), random([5, 8], dtype, 2), random([4, 8], dtype, 3), random([5, 4], dtype, 4)];
    const map = (x: Tensor, w: Tensor, a: Tensor, b: Tensor) => ops.adaptedLinear(x, w, null, a, b, 0.5);
    expectSame(
      both((x, w, a, b) => map(x!, w!, a!, b!), inputs),
      both((x, w, a, b) => map(x!, w!, a!, b!), inputs.map(exact)),
      tolerance,
    );
  });

  it('multiply factors by rows and by columns, and by a weight laid out beforehand', () => {
    for (const [rows, inner, columns] of [
      [40, 64, 32],
      [33, 2500, 45],
      [257, 31, 100],
      [70, 46, 70],
    ] as const) {
      const [a, b] = [random([rows, inner], dtype, 1), random([inner, columns], dtype, 2)];
      const turned = (x: Tensor) => ops.t(ops.contiguous(ops.t(x)));
      // Part of a larger matrix, whose other elements would be seen in every sum that they get into.
      const amid = (x: Tensor) => {
        const whole = ops.full([x.shape[0]! + 3, x.shape[1]! + 8], NaN, { dtype });
        return ops.copy_(ops.narrow(ops.narrow(whole, 0, 1, x.shape[0]!), 1, 3, x.shape[1]!), x);
      };
      const truth = ops.mm(exact(a), exact(b)).toFloat64();
      for (const [left, right] of [
        [a, b],
        [turned(a), b],
        [a, turned(b)],
        [turned(a), turned(b)],
        [amid(a), amid(b)],
        [ops.t(amid(ops.t(a))), ops.t(amid(ops.t(b)))],
      ] as const) {
        const product = ops.product(left, right);
        expectSame([product.toFloat64()], [truth], tolerance);
        expectSame([ops.addProduct_(product, left, right).toFloat64()], [truth.map((x) => 2 * x)], tolerance);
      }
      if (dtype !== 'bfloat16' && multiplier(dtype) === 'libtorch') continue;
      const packed = ops.packLinear(ops.t(b));
      expectSame([ops.packedLinear(a, packed, columns, null).toFloat64()], [truth], tolerance);
    }
  });

  it('map nothing to nothing, and refuse a bias of another length', () => {
    const x = (rows: number, from: number) => random([rows, from], dtype, 1);
    expect(ops.linear(x(0, 8), x(5, 8)).shape).toEqual([0, 5]);
    expect(ops.linear(x(40, 0), x(5, 0)).toFloat64()).toEqual(new Float64Array(200));
    expect(ops.product(x(40, 8), x(8, 0)).shape).toEqual([40, 0]);
    expect(() => ops.linear(x(40, 8), x(5, 8), x(1, 4))).toThrow(EngineError);
  });

  it('attend over packed rows: prompts with several completions, windows, grouped heads', () => {
    const rows = fc.array(
      fc.record({
        prompt: fc.integer({ min: 0, max: 150 }),
        completions: fc.array(fc.integer({ min: 0, max: 80 }), { minLength: 1, maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 3 },
    );
    const heads = fc.constantFrom([1, 1], [4, 2], [6, 1], [3, 3]);
    const window = fc.constantFrom(undefined, 7, 64);
    // Multiples of 32 go to the matrix tiles, where the processor has them.
    const width = fc.constantFrom(3, 8, 20, 32, 64, 96, 256);
    fc.assert(
      fc.property(rows, heads, window, width, seeds, (items, [many, few], layerWindow, d, seed) => {
        const segments = packed(items);
        const tokens = segments.reduce((sum, { length }) => sum + length, 0);
        if (tokens === 0) return;
        const config = { layerWindows: [layerWindow] } as unknown as ModelConfig;
        const call = {
          layer: 0,
          scale: d ** -0.5,
          ...(layerWindow === undefined ? {} : { window: layerWindow }),
        };
        const inputs = [many!, few!, few!].map((count, i) => random([tokens, count, d], dtype, seed + i));
        tidy(() => {
          const own = new FusedAttention(segments, { config });
          const pieces = new PiecewiseAttention(segments, { config, dtype: 'float64', device: 'cpu' });
          expectSame(
            both((q, k, v) => own.attend(q!, k!, v!, call), inputs),
            both((q, k, v) => pieces.attend(q!, k!, v!, call), inputs.map(exact)),
            tolerance,
          );
        });
      }),
      { numRuns: 25 },
    );
  });
});

describe('fp32 products of medium precision', () => {
  it('are those of factors rounded to bf16, summed in fp32, with their gradients', () => {
    const rounded = (x: Tensor) => ops.to(ops.to(x, 'bfloat16'), 'float64');
    for (const [rows, inner, columns] of [
      [40, 64, 32],
      [33, 2500, 45],
    ] as const) {
      const inputs = [random([rows, inner], 'float32', 1), random([columns, inner], 'float32', 2)] as const;
      setMatmulPrecision('medium');
      try {
        const found = both((x, w) => ops.linear(x!, w!), inputs);
        const truth = both((x, w) => ops.linear(x!, w!), inputs.map(rounded));
        // What comes back is rounded to bf16 by itself, as it is again a factor.
        expectSame(found.slice(0, 1), truth.slice(0, 1), multiplier('float32') === 'libtorch' ? 2e-2 : 2e-5);
        expectSame(found, truth, 2e-2);
        if (multiplier('float32') === 'libtorch') continue;
        const packed = ops.packLinear(inputs[1]);
        expect(packed.dtype).toBe('bfloat16');
        const output = ops.packedLinear(inputs[0], packed, columns, null);
        expect(output.toFloat64()).toEqual(found[0]);
      } finally {
        setMatmulPrecision('highest');
      }
    }
  });
});

it('says that its kernels have no second derivative, rather than give a wrong one', () => {
  const x = random([3, 4], 'float64', 1).setRequiresGrad(true);
  const weight = random([4], 'float64', 2);
  const once = () => {
    const output = enableGrad(() => ops.sum(ops.fusedRmsNorm(x, weight, 1e-5)));
    return grad([output], [x], undefined, { createGraph: true });
  };
  expect(once).toThrow(/no second derivative/);
});

it('refuses rows that its pieces do not cover, and targets outside the vocabulary', () => {
  const x = random([4, 1, 8], 'float32', 1);
  expect(() => ops.fusedPackedAttention(x, x, x, [0, 3, 1, 0, 3], 0, 1)).toThrow(/cover 3 of 4 tokens/);
  expect(() => ops.fusedPackedAttention(x, x, x, [0, 4, 1, 0, 9], 0, 1)).toThrow(/outside the row/);
  const logits = random([1, 5], 'float32', 2);
  expect(() => ops.headStatistics(logits, ops.to(ops.mul(ops.ones([1], {}), 5), 'int64'))).toThrow(
    /outside the vocabulary of 5/,
  );
});

it('refuses tensors that do not fit each other, rather than read past them', () => {
  const x = (...shape: number[]) => random(shape, 'float32', 1);
  expect(() => ops.fusedRotate(x(4, 1, 64), x(4, 1, 64), x(4, 1, 32))).toThrow(/equally wide, not 64 and 32/);
  const none = x(4, 0, 8);
  expect(() => ops.fusedPackedAttention(x(4, 1, 8), none, none, [0, 4, 1, 0, 4], 0, 1)).toThrow(/do not fit/);

  const cached = (key: Tensor, keys: Tensor, values: Tensor) =>
    ops.fusedCachedAttention(x(2, 4, 8), key, key, keys, values, [3, 7], 0, 1);
  expect(() => cached(x(2, 0, 8), x(2, 16, 2, 8), x(2, 16, 2, 8))).toThrow(/do not fit/);
  expect(() => cached(x(2, 2, 8), x(2, 16, 2, 8), x(2, 8, 2, 8))).toThrow(/caches .* one shape/);
  expect(() => cached(random([2, 2, 8], 'bfloat16', 1), x(2, 16, 2, 8), x(2, 16, 2, 8))).toThrow(/one dtype/);
  if (multiplier('float32') !== 'libtorch') {
    const panel = ops.slice(ops.packLinear(x(64, 40)), 0, 0, 1);
    const repeated = ops.expand(panel, [2, panel.shape[1]!]);
    expect(() => ops.packedLinear(x(3, 40), repeated, 64, null)).toThrow(/pack_linear/);
  }
});

it('tells a graph that what it needs was overwritten', () => {
  const weight = random([40, 40], 'float32', 1).setRequiresGrad(true);
  const moments = [ops.zerosLike(weight), ops.zerosLike(weight)] as const;
  const x = random([40, 40], 'float32', 2).setRequiresGrad(true);
  const output = enableGrad(() => ops.sum(ops.linear(x, weight)));
  const [, slope] = grad([output], [x, weight], undefined, { retainGraph: true });
  noGrad(() =>
    ops.fusedAdamwStep_(weight, slope!, ...moments, null, ops.ones([], {}), 1, 0.1, 0.9, 0.99, 1e-8, 0),
  );
  expect(() => grad([output], [x])).toThrow(/modified by an inplace operation/);
});

it('keeps of a linear map what its slopes need, and nothing else', () => {
  const [x, weight] = [random([40, 32], 'float32', 1), random([48, 32], 'float32', 2)];
  const slopes = (ofX: boolean, ofWeight: boolean) => {
    const [a, w] = [ops.detach(x).setRequiresGrad(ofX), ops.detach(weight).setRequiresGrad(ofWeight)];
    const output = enableGrad(() => ops.linear(a, w));
    const wanted = [...(ofX ? [a] : []), ...(ofWeight ? [w] : [])];
    return grad([output], wanted, [ops.ones([40, 48], {})]).map((slope) => slope!.toFloat64());
  };
  const [dx, dWeight] = slopes(true, true);
  expect(slopes(true, false)).toEqual([dx]);
  expect(slopes(false, true)).toEqual([dWeight]);
});

function packed(items: readonly { readonly prompt: number; readonly completions: readonly number[] }[]) {
  const segments: Segment[] = [];
  let start = 0;
  const push = (length: number, parent?: number) => {
    segments.push({ start, length, ...(parent === undefined ? {} : { parent }) });
    start += length;
    return segments.length - 1;
  };
  for (const { prompt, completions } of items) {
    const root = push(prompt);
    for (const length of completions) push(length, root);
  }
  return segments;
}
