import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DType,
  enableGrad,
  Generator,
  grad,
  memory,
  noGrad,
  ops,
  type Tensor,
  tensor,
  tidy,
} from '../engine/index.ts';
import { Linear } from '../nn/linear.ts';
import { Parameter } from '../nn/parameter.ts';
import { GradientStore } from './gradients.ts';
import { type HeadOptions, HeadPass } from './head.ts';
import { composedHead, fusedHead, type HeadKernel } from './head-kernels.ts';

const VOCABULARY = 17;
const WIDTH = 5;

function problem(positions: number, seed: number, dtype: DType = 'float64', bias = false) {
  const generator = new Generator(seed);
  const random = (shape: number[]) =>
    ops.to(ops.randn(shape, { generator, dtype: 'float64', device: 'cpu' }), dtype);
  const weight = new Parameter('head.weight', random([VOCABULARY, WIDTH]).setRequiresGrad(true));
  const offset = bias ? new Parameter('head.bias', random([VOCABULARY]).setRequiresGrad(true)) : undefined;
  return {
    head: new Linear('head', weight, offset),
    hidden: random([positions, WIDTH]),
    targets: Int32Array.from({ length: positions }, (_, i) => (7 * i + seed) % VOCABULARY),
    slopes: Float64Array.from({ length: positions }, (_, i) => Math.sin(i + seed)),
  };
}

/** The definition, by autograd over a plain log-softmax. */
function plain({ head, hidden, targets, slopes }: ReturnType<typeof problem>) {
  return enableGrad(() => {
    const input = ops.detach(hidden).setRequiresGrad(true);
    const all = ops.logSoftmax(head.forward(input), 1);
    const index = tensor(targets, { shape: [targets.length, 1], dtype: 'int64' });
    const logps = ops.squeeze(ops.gather(all, 1, index), 1);
    const leaves = [input, ...head.parameters.map(({ value }) => value)];
    const [dHidden, ...dHead] = grad([ops.sum(ops.mul(logps, tensor(slopes)))], leaves);
    const p = ops.exp(all);
    return {
      logps: logps.toFloat64(),
      entropies: ops.neg(ops.sum(ops.mul(p, all), [1])).toFloat64(),
      logSumSquares: ops.log(ops.sum(ops.mul(p, p), [1])).toFloat64(),
      dHidden: dHidden!.toFloat64(),
      dHead: dHead.map((x) => x!.toFloat64()),
    };
  });
}

function closed({ head, hidden, targets, slopes }: ReturnType<typeof problem>, options: HeadOptions = {}) {
  const gradients = new GradientStore();
  const pass = new HeadPass(head, hidden, targets, { entropy: true, logSumSquares: true, ...options });
  const dHidden = pass.backward(slopes, gradients).toFloat64();
  const dHead = head.parameters.map((parameter) => gradients.get(parameter)!.toFloat64());
  pass.dispose();
  gradients.clear();
  return { ...pass.statistics, dHidden, dHead };
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
}

describe('completion head', () => {
  it('by hand: two tokens, logits 0 and ln 3', () => {
    tidy(() => {
      const weight = new Parameter('w', tensor([0, Math.log(3)], { shape: [2, 1], dtype: 'float64' }));
      const hidden = tensor([1], { shape: [1, 1], dtype: 'float64' });
      const pass = new HeadPass(new Linear('head', weight), hidden, Int32Array.of(1), {
        entropy: true,
        logSumSquares: true,
      });
      expect(pass.statistics.logps[0]).toBeCloseTo(Math.log(0.75), 14);
      expect(pass.statistics.entropies![0]).toBeCloseTo(2 * Math.log(2) - 0.75 * Math.log(3), 14);
      expect(pass.statistics.logSumSquares![0]).toBeCloseTo(Math.log(0.0625 + 0.5625), 14);
      // d logits = onehot − p = [−¼, ¼]; dHidden = ¼ ln 3.
      const dHidden = pass.backward(Float64Array.of(1), new GradientStore());
      expect(dHidden.item()).toBeCloseTo(Math.log(3) / 4, 14);
    });
  });

  it('equals autograd over a plain log-softmax, whatever the chunks', () => {
    const rowBytes = VOCABULARY * 8;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 23 }),
        fc.nat(1000),
        fc.integer({ min: 1, max: 25 }),
        fc.nat(25),
        fc.boolean(),
        (positions, seed, chunkRows, keepRows, bias) => {
          tidy(() => {
            const given = problem(positions, seed, 'float64', bias);
            const expected = plain(given);
            const received = closed(given, {
              chunkBytes: chunkRows * rowBytes,
              keepBytes: keepRows * rowBytes,
            });
            for (const name of ['logps', 'entropies', 'logSumSquares', 'dHidden'] as const) {
              expect(largestDifference(received[name]!, expected[name])).toBeLessThan(1e-13);
            }
            for (const [index, value] of expected.dHead.entries()) {
              expect(largestDifference(received.dHead[index]!, value)).toBeLessThan(1e-12);
            }
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives the same bits whether log-probabilities are kept or computed again', () => {
    tidy(() => {
      const given = problem(20, 3, 'float32');
      const chunkBytes = 6 * VOCABULARY * 4;
      const kept = closed(given, { chunkBytes, keepBytes: 1e9 });
      const again = closed(given, { chunkBytes, keepBytes: 0 });
      expect(again).toEqual(kept);
    });
  });

  it('keeps fp32 statistics and fp32 gradients over a bf16 projection', () => {
    tidy(() => {
      const given = problem(12, 5, 'bfloat16');
      const received = closed(given);
      const wide = {
        ...given,
        hidden: ops.to(given.hidden, 'float64'),
        head: new Linear(
          'head',
          new Parameter(
            'w',
            ops
              .to(
                noGrad(() => ops.detach(given.head.weight.value)),
                'float64',
              )
              .setRequiresGrad(true),
          ),
        ),
      };
      const exact = plain(wide);
      // Logits are rounded to bf16 once (2⁻⁸ relative, logits within ±10); nothing after that is.
      expect(largestDifference(received.logps, exact.logps)).toBeLessThan(0.05);
      expect(largestDifference(received.dHead[0]!, exact.dHead[0]!)).toBeLessThan(0.05);
      expect(received.logps.some((value) => value !== asBfloat16(value))).toBe(true);
    });
  });

  it('leaves no tensor behind', () => {
    tidy(() => {
      const given = problem(9, 1);
      const before = memory().liveTensors;
      tidy(() => void closed(given, { chunkBytes: 4 * VOCABULARY * 8, keepBytes: 4 * VOCABULARY * 8 }));
      expect(memory().liveTensors).toBe(before);
    });
  });
});

function asBfloat16(value: number): number {
  const x: Tensor = ops.to(tensor([value], { dtype: 'float32' }), 'bfloat16');
  return x.item();
}

describe.each(['float64', 'float32', 'bfloat16'] as const)('the head’s own kernel in %s', (dtype) => {
  const tolerance = { float64: 1e-12, float32: 1e-5, bfloat16: 1e-2 }[dtype];
  const [rows, vocabulary] = [5, 1003];
  const table = (seed: number) => {
    const generator = new Generator(seed);
    const logits = ops.mul(ops.randn([rows, vocabulary], { generator, dtype: 'float64', device: 'cpu' }), 4);
    // A token that no one ever writes: −∞ must not turn 0 · ∞ into NaN.
    ops.fill_(ops.select(logits, 1, 7), -1e30);
    return ops.to(logits, dtype);
  };
  const everything = (kernel: HeadKernel) =>
    tidy(() =>
      noGrad(() => {
        const targets = ops.to(tensor(Int32Array.of(0, 1, 500, 1001, 1002), { shape: [rows, 1] }), 'int64');
        const wide = dtype === 'float64' ? 'float64' : 'float32';
        const seeds = tensor(Float64Array.of(1, -1, 0.5, 0, 2), { shape: [rows, 1], dtype: wide });
        const { kept, ...found } = kernel.statistics(table(1), targets, {
          entropy: true,
          logSumSquares: true,
        });
        return [
          found.logps,
          found.entropies!,
          found.logSumSquares!,
          kernel.slopes(kept, targets, seeds, dtype),
          kernel.divergence(table(1), table(2)),
          kernel.divergence(table(3), table(3)),
        ].map((x) => x.toFloat64());
      }),
    );

  it('says what libtorch’s operators say', () => {
    const [own, composed] = [everything(fusedHead), everything(composedHead)];
    for (const [index, values] of own.entries()) {
      const wanted = composed[index]!;
      const size = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      for (const [i, value] of values.entries()) {
        expect(Math.abs(value - wanted[i]!) / size, `result ${index}`).toBeLessThan(tolerance);
      }
    }
    expect(Math.min(...own[4]!)).toBeGreaterThan(1);
    expect(Math.max(...own[5]!.map(Math.abs))).toBeLessThan(tolerance);
  });
});
