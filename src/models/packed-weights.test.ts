import { describe, expect, it, vi } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import {
  type DType,
  engineInfo,
  Generator,
  memory,
  multiplier,
  noGrad,
  ops,
  type Tensor,
  tidy,
} from '../engine/index.ts';
import { gatedMaps } from '../nn/activations.ts';
import { Linear, type LinearLayout } from '../nn/linear.ts';
import { Parameter } from '../nn/parameter.ts';
import { requireUnused } from './in-use.ts';
import { packWeights } from './packed-weights.ts';

const random = (shape: number[], seed: number, dtype: DType): Tensor =>
  ops.to(ops.randn(shape, { generator: new Generator(seed), dtype: 'float32', device: 'cpu' }), dtype);

/** What can be packed here, and what may then differ: a map's outputs, near 20, by one last place; a gated unit's relatively. */
const PACKED: readonly { readonly dtype: DType; readonly step: number; readonly tolerance: number }[] = [
  ...(multiplier('bfloat16') !== 'libtorch' || (engineInfo().bf16Kernels && process.arch === 'x64')
    ? [{ dtype: 'bfloat16', step: 0.13, tolerance: 0.02 } as const]
    : []),
  ...(multiplier('float32') !== 'libtorch'
    ? [{ dtype: 'float32', step: 1e-4, tolerance: 1e-5 } as const]
    : []),
];
const STORED = PACKED.flatMap((packed) =>
  (['out-in', 'in-out'] satisfies LinearLayout[]).map((layout) => ({ ...packed, layout })),
);

describe.runIf(STORED.length > 0).each(STORED)(
  'a packed $dtype map stored $layout',
  ({ dtype, layout, step }) => {
    const shape = layout === 'out-in' ? [48, 40] : [40, 48];
    const map = new Linear(
      'map',
      new Parameter('map.weight', random(shape, 1, dtype)),
      new Parameter('map.bias', random([48], 2, dtype)),
      layout,
    );
    const outputs = (rows: number) =>
      noGrad(() => tidy(() => map.forward(random([rows, 40], 3, dtype)).toFloat64()));

    it('gives what it gives unpacked, up to the order of a sum, for one row and for many', () => {
      const live = memory().liveTensors;
      for (const rows of [1, 7, 300]) {
        const plain = outputs(rows);
        const unpack = map.pack();
        const packed = outputs(rows);
        unpack();
        expect(packed.length).toBe(plain.length);
        const error = packed.reduce((most, value, i) => Math.max(most, Math.abs(value - plain[i]!)), 0);
        expect(error).toBeLessThan(step);
        expect(outputs(rows)).toEqual(plain);
      }
      expect(memory().liveTensors).toBe(live);
    });

    it('is packed once by whoever asks first', () => {
      const live = memory().liveTensors;
      const unpack = map.pack();
      map.pack()();
      expect(memory().liveTensors).toBe(live + 1);
      unpack();
      expect(memory().liveTensors).toBe(live);
    });
  },
);

describe.runIf(PACKED.length > 0).each(PACKED)(
  'two packed $dtype maps of a gated unit',
  ({ dtype, tolerance }) => {
    it.each([
      [1, 40, 48],
      [7, 64, 33],
      [300, 2100, 70],
    ])('%i rows of %i → %i: what the maps and the gate give one after another', (rows, from, to) => {
      const map = (seed: number) => {
        const weight = ops.mul(random([to, from], seed, dtype), 2 / Math.sqrt(from));
        return new Linear('map', new Parameter('map.weight', weight));
      };
      const [gate, up, x] = [map(1), map(2), random([rows, from], 3, dtype)];
      const output = () => noGrad(() => tidy(() => gatedMaps('silu', gate, up, x).toFloat64()));
      const plain = output();
      const ends = [gate.pack(), up.pack()];
      const packed = output();
      for (const end of ends) end();
      for (const [i, value] of packed.entries()) {
        expect(Math.abs(value - plain[i]!)).toBeLessThan(tolerance * (1 + Math.abs(plain[i]!)));
      }
      expect(Math.max(...plain.map(Math.abs))).toBeGreaterThan(1);
    });
  },
);

describe.runIf(PACKED.length > 0).each(PACKED)('the packed weights of a $dtype model', ({ dtype }) => {
  it('are freed, and the model is no longer read, when one map cannot be packed', () => {
    const model = tinyModel('llama', dtype);
    const live = memory().liveTensors;
    vi.spyOn(model.head, 'pack').mockImplementation(() => {
      expect(memory().liveTensors).toBeGreaterThan(live);
      throw new Error('no memory');
    });
    expect(() => packWeights(model, { tokens: 1e6 })).toThrow('no memory');
    expect(memory().liveTensors).toBe(live);
    expect(() => requireUnused(model)).not.toThrow();
    model.dispose();
  });
});
