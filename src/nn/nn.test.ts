import { describe, expect, test } from 'vitest';
import { noGrad, ops, tensor, tidy } from '../engine/index.ts';
import { activation } from './activations.ts';
import { layerNorm, rmsNorm } from './norms.ts';
import { applyRotary, type RotarySettings, rotaryTables } from './rotary.ts';

const close = (values: ArrayLike<number>, expected: readonly number[], digits = 6) => {
  expect(values.length).toBe(expected.length);
  for (const [index, value] of expected.entries()) expect(values[index]).toBeCloseTo(value, digits);
};

describe('norms', () => {
  test('rmsNorm divides by the root mean square', () => {
    const x = tensor([3, 4], { shape: [1, 2], dtype: 'float64' });
    const rms = Math.sqrt(12.5);
    close(rmsNorm(x, tensor([1, 2], { dtype: 'float64' }), 0).toFloat64(), [3 / rms, 8 / rms], 12);
  });

  test('rmsNorm of bf16 is rounded to bf16 before the weight is applied', () => {
    const x = tensor([3, 4], { shape: [1, 2], dtype: 'bfloat16' });
    const weight = tensor([1.0078125, 1], { dtype: 'bfloat16' });
    const normed = ops.to(tensor([3 / Math.sqrt(12.5)]), 'bfloat16').item();
    const product = ops.to(tensor([normed * 1.0078125]), 'bfloat16').item();
    expect(rmsNorm(x, weight, 0).toFloat64()[0]).toBe(product);
  });

  test('layerNorm centres, scales and shifts', () => {
    const x = tensor([1, 3], { shape: [1, 2] });
    close(layerNorm(x, tensor([1, 2]), tensor([10, 20]), 0).toFloat64(), [9, 22]);
  });
});

describe('activations', () => {
  const at = (name: Parameters<typeof activation>[0], x: number) => activation(name)(tensor([x])).item();
  const tanhGelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  test('follow their definitions', () => {
    for (const x of [-2, -0.3, 0, 0.7, 3]) {
      expect(at('silu', x)).toBeCloseTo(x / (1 + Math.exp(-x)), 6);
      expect(at('relu', x)).toBeCloseTo(Math.max(0, x), 6);
      expect(at('quick_gelu', x)).toBeCloseTo(x / (1 + Math.exp(-1.702 * x)), 6);
      for (const name of ['gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'] as const) {
        expect(at(name, x)).toBeCloseTo(tanhGelu(x), 6);
      }
    }
    expect(at('gelu', 1)).toBeCloseTo(0.8413447, 6);
  });
});

describe('rotary embedding', () => {
  const settings = (width: number, scaling: RotarySettings['scaling'] = { type: 'default' }) => ({
    theta: 100,
    width,
    scaling,
  });
  const positions = (...values: number[]) => tensor(values, { dtype: 'int64' });

  test('turns pairs (i, i + width/2) by position · θ^(−2i/width)', () => {
    const x = tensor([1, 2, 3, 4], { shape: [1, 1, 4] });
    const turned = applyRotary(x, rotaryTables(positions(2), settings(4), 'float32')).toFloat64();
    const [a, b] = [2, 2 / 10]; // angles
    close(turned, [
      Math.cos(a) - 3 * Math.sin(a),
      2 * Math.cos(b) - 4 * Math.sin(b),
      3 * Math.cos(a) + Math.sin(a),
      4 * Math.cos(b) + 2 * Math.sin(b),
    ]);
  });

  test('leaves dimensions past the rotary width alone', () => {
    const x = tensor([1, 2, 3, 4], { shape: [1, 1, 4] });
    const turned = applyRotary(x, rotaryTables(positions(1), settings(2), 'float32')).toFloat64();
    close(turned, [Math.cos(1) - 2 * Math.sin(1), 2 * Math.cos(1) + Math.sin(1), 3, 4]);
  });

  test('linear scaling stretches positions', () => {
    const scaled = rotaryTables(positions(6), settings(4, { type: 'linear', factor: 3 }), 'float32');
    const plain = rotaryTables(positions(2), settings(4), 'float32');
    close(scaled.cos.toFloat64(), [...plain.cos.toFloat64()]);
  });

  test('dynamic scaling is off up to the trained length and grows the base beyond', () => {
    const dynamic = settings(4, { type: 'dynamic', factor: 2, maxPositions: 8 });
    const plain = rotaryTables(positions(7), settings(4), 'float32');
    close(rotaryTables(positions(7), dynamic, 'float32').cos.toFloat64(), [...plain.cos.toFloat64()]);
    // Twelve tokens: base · (2 · 12 / 8 − 1)^(4/2) = 400.
    const beyond = rotaryTables(positions(11), dynamic, 'float32').cos.toFloat64();
    close(beyond, [Math.cos(11), Math.cos(11 / 20), Math.cos(11), Math.cos(11 / 20)], 5);
  });

  test('rotations keep lengths, and scores depend on distance alone', () => {
    noGrad(() =>
      tidy(() => {
        const q = tensor([0.3, -1, 2, 0.5], { shape: [1, 1, 4], dtype: 'float64' });
        const score = (from: number, to: number) => {
          const at = (p: number) => applyRotary(q, rotaryTables(positions(p), settings(4), 'float64'));
          return ops.sum(ops.mul(at(from), at(to))).item();
        };
        expect(score(3, 3)).toBeCloseTo(0.09 + 1 + 4 + 0.25, 6);
        expect(score(9, 5)).toBeCloseTo(score(5, 1), 5);
      }),
    );
  });
});
