import { describe, expect, it } from 'vitest';
import { engineInfo, Generator, memory, noGrad, ops, type Tensor, tidy } from '../engine/index.ts';
import { gatedMaps } from '../nn/activations.ts';
import { Linear, type LinearLayout } from '../nn/linear.ts';
import { Parameter } from '../nn/parameter.ts';

const random = (shape: number[], seed: number): Tensor =>
  ops.to(ops.randn(shape, { generator: new Generator(seed), dtype: 'float32', device: 'cpu' }), 'bfloat16');

const multipliesBf16 = engineInfo().bf16Kernels && process.arch === 'x64';

describe.runIf(multipliesBf16).each<LinearLayout>(['out-in', 'in-out'])(
  'a packed map stored %s',
  (layout) => {
    const shape = layout === 'out-in' ? [48, 40] : [40, 48];
    const map = new Linear(
      'map',
      new Parameter('map.weight', random(shape, 1)),
      new Parameter('map.bias', random([48], 2)),
      layout,
    );
    const outputs = (rows: number) =>
      noGrad(() => tidy(() => map.forward(random([rows, 40], 3)).toFloat64()));

    it('gives what it gives unpacked, up to the order of a sum, for one row and for many', () => {
      const live = memory().liveTensors;
      for (const rows of [1, 7, 300]) {
        const plain = outputs(rows);
        const unpack = map.pack();
        const packed = outputs(rows);
        unpack();
        expect(packed.length).toBe(plain.length);
        const error = packed.reduce((most, value, i) => Math.max(most, Math.abs(value - plain[i]!)), 0);
        expect(error).toBeLessThan(0.13); // one step of bf16 at the largest outputs, near 20
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

describe.runIf(multipliesBf16)('two packed maps of a gated unit', () => {
  it.each([
    [1, 40, 48],
    [7, 64, 33],
    [300, 2100, 70],
  ])('%i rows of %i → %i: what the maps and the gate give one after another', (rows, from, to) => {
    const map = (seed: number) =>
      new Linear('map', new Parameter('map.weight', ops.mul(random([to, from], seed), 2 / Math.sqrt(from))));
    const [gate, up, x] = [map(1), map(2), random([rows, from], 3)];
    const output = () => noGrad(() => tidy(() => gatedMaps('silu', gate, up, x).toFloat64()));
    const plain = output();
    const ends = [gate.pack(), up.pack()];
    const packed = output();
    for (const end of ends) end();
    for (const [i, value] of packed.entries()) {
      expect(Math.abs(value - plain[i]!)).toBeLessThan(0.02 * (1 + Math.abs(plain[i]!)));
    }
    expect(Math.max(...plain.map(Math.abs))).toBeGreaterThan(1);
  });
});
