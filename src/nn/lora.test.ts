import { describe, expect, test } from 'vitest';
import { Generator, memory, ops, tensor, tidy } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { Linear, type LinearLayout } from './linear.ts';
import { attachLora, detachLora, mergeLora, setLoraAdapter } from './lora.ts';
import { Parameter } from './parameter.ts';

function linear(layout: LinearLayout = 'out-in', name = 'model.layers.0.self_attn.q_proj'): Linear {
  // As a map: y₀ = x₀ + 2x₁ + 3x₂ + 10, y₁ = 4x₀ + 5x₁ + 6x₂ + 20.
  const stored = layout === 'out-in' ? [1, 2, 3, 4, 5, 6] : [1, 4, 2, 5, 3, 6];
  const weight = tensor(stored, { shape: layout === 'out-in' ? [2, 3] : [3, 2] });
  return new Linear(
    name,
    new Parameter(`${name}.weight`, weight),
    new Parameter(`${name}.bias`, tensor([10, 20])),
    layout,
  );
}

const x = tensor([1, 0, -1], { shape: [1, 3] });
const apply = (map: Linear) => [...tidy(() => map.forward(x).toFloat64())];

describe.each<LinearLayout>(['out-in', 'in-out'])('a linear map stored %s', (layout) => {
  test('is affine, and knows its sizes', () => {
    const map = linear(layout);
    expect(apply(map)).toEqual([8, 18]);
    expect([map.inFeatures, map.outFeatures]).toEqual([3, 2]);
  });

  test('adds scale · B A x, merged or not', () => {
    const map = linear(layout);
    setLoraAdapter(map, tensor([1, 1, 3], { shape: [1, 3] }), tensor([1, 2], { shape: [2, 1] }), 0.5);
    expect(map.parameters.map(({ name }) => name.split('.').slice(-2).join('.'))).toEqual([
      'q_proj.weight',
      'q_proj.bias',
      'lora_A.weight',
      'lora_B.weight',
    ]);
    // A x = −2, so the update is 0.5 · (−2) · (1, 2).
    expect(apply(map)).toEqual([7, 16]);
    mergeLora([map]);
    expect(map.adapter).toBeUndefined();
    expect(apply(map)).toEqual([7, 16]);
  });
});

describe('attachLora', () => {
  const options = () => ({
    rank: 2,
    alpha: 8,
    targetModules: 'all-linear' as const,
    generator: new Generator(7),
  });

  test('starts as the identity, with A within ±1/√in and scale alpha / rank', () => {
    const map = linear();
    attachLora([map], options());
    expect(apply(map)).toEqual([8, 18]);
    const a = map.adapter!.a.value.toFloat64();
    expect(a.every((value) => Math.abs(value) <= 1 / Math.sqrt(3))).toBe(true);
    expect(new Set(a).size).toBe(6);
    expect(map.adapter!.scale).toBe(4);
    expect(map.adapter!.a.trainable && map.adapter!.b.trainable).toBe(true);
  });

  test('rank-stabilised scale is alpha / √rank', () => {
    const map = linear();
    attachLora([map], { ...options(), rankStabilised: true });
    expect(map.adapter!.scale).toBeCloseTo(8 / Math.SQRT2, 12);
  });

  test('is deterministic in the seed', () => {
    const [one, two] = [linear(), linear()];
    attachLora([one], options());
    attachLora([two], options());
    expect(one.adapter!.a.value.toFloat64()).toEqual(two.adapter!.a.value.toFloat64());
  });

  test('selects by the last parts of the name', () => {
    const maps = [linear(), linear('out-in', 'model.layers.0.self_attn.v_proj')];
    expect(attachLora(maps, { ...options(), targetModules: ['v_proj'] })).toEqual([maps[1]]);
    expect(maps[0]!.adapter).toBeUndefined();
  });

  test('names a target that matches nothing, and what there is', () => {
    const attach = () => attachLora([linear()], { ...options(), targetModules: ['proj'] });
    expect(attach).toThrow(UsageError);
    expect(attach).toThrow(/"proj" matches no linear map/);
    expect(() => attachLora([linear()], { ...options(), rank: 0 })).toThrow(
      /rank must be a positive whole number/,
    );
  });

  test('detaching or merging leaves no tensor behind', () => {
    const map = linear();
    const before = memory().liveTensors;
    attachLora([map], options());
    detachLora([map]);
    attachLora([map], options());
    attachLora([map], options());
    mergeLora([map]);
    expect(memory().liveTensors).toBe(before);
  });

  test('merging into bf16 rounds once', () => {
    const map = linear();
    map.weight.value = ops.to(map.weight.value, 'bfloat16');
    setLoraAdapter(
      map,
      tensor([1, 0, 0], { shape: [1, 3], dtype: 'bfloat16' }),
      tensor([0.003, 0], { shape: [2, 1], dtype: 'bfloat16' }),
      2,
    );
    mergeLora([map]);
    // 1 + 2 · bf16(0.003) = 1.00600…, between the bf16 values 1 and 1.0078125.
    expect(map.weight.value.dtype).toBe('bfloat16');
    expect(map.weight.value.toFloat64()[0]).toBe(1.0078125);
  });
});
