import { describe, expect, it } from 'vitest';
import clipping from '../../tests/fixtures/optim/clipping.json' with { type: 'json' };
import fixture from '../../tests/fixtures/optim/optimisers.json' with { type: 'json' };
import { type DType, memory, noGrad, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import { Parameter } from '../nn/parameter.ts';
import {
  clipFactor,
  createOptimizer,
  globalNorm,
  MasterWeights,
  type Optimizer,
  type OptimizerOptions,
} from './index.ts';

const { shapes, gradients, rates, start } = fixture;

function build(options: OptimizerOptions, dtype: DType) {
  const parameters = shapes.map((shape, i) => ({
    name: `p${i}`,
    master: tensor(start[i]!, { shape, dtype }),
    decay: shape.length > 1,
  }));
  return { parameters, optimizer: createOptimizer(parameters, options) };
}

function step(optimizer: Optimizer, index: number, dtype: DType) {
  tidy(() => {
    const now: Tensor[] = gradients[index]!.map((values, i) => tensor(values, { shape: shapes[i]!, dtype }));
    optimizer.step(now, rates[index]!);
  });
}

const cases = fixture.cases.map((c) => ({
  ...c,
  options: c.options as OptimizerOptions,
  dtype: c.dtype as DType,
  title: `${JSON.stringify(c.options)} ${c.dtype}`,
}));

describe('optimisers equal PyTorch', () => {
  it.each(cases)('$title', ({ options, dtype, trace }) => {
    const { parameters, optimizer } = build(options, dtype);
    expect(trace).toHaveLength(6);
    for (const [index, expected] of trace.entries()) {
      step(optimizer, index, dtype);
      for (const [i, values] of expected.entries()) {
        const received = parameters[i]!.master.toFloat64();
        for (const [j, value] of values.entries()) {
          const tolerance = dtype === 'float64' ? 1e-14 : 1e-6;
          expect(Math.abs(received[j]! - value)).toBeLessThanOrEqual(
            tolerance * Math.max(1, Math.abs(value)),
          );
        }
      }
    }
  });

  it.each(cases)('go on bit for bit after a restore: $title', ({ options, dtype }) => {
    const whole = build(options, dtype);
    for (let i = 0; i < 6; i++) step(whole.optimizer, i, dtype);
    const first = build(options, dtype);
    for (let i = 0; i < 3; i++) step(first.optimizer, i, dtype);
    const second = build(options, dtype);
    second.optimizer.restore(first.optimizer.state());
    for (const [i, { master }] of second.parameters.entries()) {
      tidy(() => copyInto(master, first.parameters[i]!.master));
    }
    for (let i = 3; i < 6; i++) step(second.optimizer, i, dtype);
    for (const [i, { master }] of second.parameters.entries()) {
      expect(master.toFloat64()).toEqual(whole.parameters[i]!.master.toFloat64());
    }
  });
});

function copyInto(target: Tensor, source: Tensor) {
  const values = source.toFloat64();
  const copy = tensor(values, { shape: source.shape, dtype: source.dtype });
  return ops.copy_(target, copy);
}

describe('an optimiser', () => {
  it('by hand: Adam moves by the learning rate, RMSprop by ten times it, in the first step', () => {
    for (const [name, moved] of [
      ['adamw', 0.01],
      ['rmsprop', 0.1],
    ] as const) {
      const master = tensor([1, 1], { shape: [2], dtype: 'float64' });
      const optimizer = createOptimizer([{ name: 'p', master, decay: false }], { name });
      optimizer.step([tensor([3, -0.5], { shape: [2], dtype: 'float64' })], 0.01);
      const [a, b] = master.toFloat64();
      expect(a).toBeCloseTo(1 - moved, 7);
      expect(b).toBeCloseTo(1 + moved, 6);
    }
  });

  it('leaves a parameter without gradient alone', () => {
    for (const name of ['adamw', 'rmsprop', 'sgd'] as const) {
      const { parameters, optimizer } = build({ name, weightDecay: 0.5 }, 'float64');
      tidy(() =>
        optimizer.step([null, tensor(gradients[0]![1]!, { shape: shapes[1]!, dtype: 'float64' })], 0.1),
      );
      expect([...parameters[0]!.master.toFloat64()]).toEqual(start[0]);
      expect([...parameters[1]!.master.toFloat64()]).not.toEqual(start[1]);
    }
  });

  it('refuses the state of another', () => {
    const a = build({ name: 'adamw' }, 'float64').optimizer;
    const b = build({ name: 'rmsprop' }, 'float64').optimizer;
    expect(() => a.restore(b.state())).toThrowError(expect.objectContaining({ code: 'checkpoint-mismatch' }));
  });

  it('holds no tensors after a step beyond its state, and none after disposal', () => {
    const before = memory().liveTensors;
    for (const name of ['adamw', 'rmsprop', 'sgd'] as const) {
      const { parameters, optimizer } = build({ name, momentum: 0.9 } as OptimizerOptions, 'float32');
      step(optimizer, 0, 'float32');
      const live = memory().liveTensors;
      step(optimizer, 1, 'float32');
      expect(memory().liveTensors).toBe(live);
      optimizer.dispose();
      for (const { master } of parameters) master.dispose();
      expect(memory().liveTensors).toBe(before);
    }
  });
});

describe('coefficients', () => {
  it.each<[OptimizerOptions, string]>([
    [{ name: 'adamw', betas: [1, 0.999] }, 'adamw’s beta 1 is 1;'],
    [{ name: 'adamw', betas: [0.9, 1] }, 'adamw’s beta 2 is 1;'],
    [{ name: 'adamw', betas: [-0.1, 0.999] }, 'adamw’s beta 1 is -0.1;'],
    [{ name: 'rmsprop', alpha: 1 }, 'rmsprop’s alpha is 1;'],
  ])('of averages that would learn nothing are refused: %o', (options, message) => {
    expect(() => createOptimizer([], options)).toThrowError(
      expect.objectContaining({ code: 'optimizer-coefficient', message: expect.stringContaining(message) }),
    );
  });
});

describe('clipping', () => {
  it('equals clip_grad_norm_', () => {
    for (const { gradients: values, norm, clipped } of clipping.cases) {
      const tensors = values.map((v, i) => tensor(v, { shape: clipping.shapes[i]!, dtype: 'float32' }));
      const received = globalNorm(tensors);
      expect(received).toBeCloseTo(norm, 5);
      const factor = clipFactor(received, 1);
      for (const [i, expected] of clipped.entries()) {
        for (const [j, value] of tensors[i]!.toFloat64().entries())
          expect(value * factor).toBeCloseTo(expected[j]!, 6);
      }
    }
  });
});

describe('master weights', () => {
  it('keep updates that bf16 would lose, and refresh the compute copy', () => {
    const parameter = new Parameter('p', tensor([1, 2], { shape: [2], dtype: 'float32' }));
    const masters = new MasterWeights([parameter], 'bfloat16');
    const optimizer = createOptimizer(masters.parameters, { name: 'sgd' });
    for (let i = 0; i < 100; i++) {
      tidy(() => optimizer.step([tensor([1, 1], { shape: [2], dtype: 'float32' })], 1e-4));
    }
    expect(masters.parameters[0]!.master.toFloat64()[0]).toBeCloseTo(0.99, 5);
    expect(parameter.value.dtype).toBe('bfloat16');
    expect(parameter.value.toFloat64()[0]).toBeCloseTo(0.99, 2);
    masters.release();
    expect(parameter.value.dtype).toBe('float32');
  });

  it.each([
    { loaded: 'bfloat16', compute: 'float32', tensors: 1 },
    { loaded: 'float16', compute: 'float32', tensors: 1 },
    { loaded: 'float16', compute: 'bfloat16', tensors: 2 },
    { loaded: 'bfloat16', compute: 'bfloat16', tensors: 2 },
    { loaded: 'float32', compute: 'bfloat16', tensors: 2 },
    { loaded: 'float32', compute: 'float32', tensors: 1 },
    { loaded: 'float64', compute: 'float64', tensors: 1 },
  ] as const)(
    'of $loaded compute in $compute and hold $tensors tensors a weight',
    ({ loaded, compute, tensors }) => {
      const before = memory().liveTensors;
      const parameter = new Parameter('p', tensor([1, -2.5], { shape: [2], dtype: loaded }));
      const masters = new MasterWeights([parameter], compute);
      expect(memory().liveTensors - before).toBe(tensors);
      const { master, copy } = masters.parameters[0]!;
      expect(parameter.value.dtype).toBe(compute);
      expect(master.dtype).toBe(loaded === 'float64' ? 'float64' : 'float32');
      expect(copy ?? master).toBe(parameter.value);
      expect(parameter.value.requiresGrad).toBe(true);
      expect([...parameter.value.toFloat64()]).toEqual([1, -2.5]);
      masters.release();
      expect(parameter.value).toBe(master);
      expect(memory().liveTensors - before).toBe(1);
      master.dispose();
    },
  );

  it('lie in memory of their own, whatever held the values before', () => {
    const held = tensor([1], { shape: [1], dtype: 'float32' });
    const parameter = new Parameter('p', ops.alias(held));
    const masters = new MasterWeights([parameter], 'float32');
    noGrad(() => tidy(() => ops.mul_(masters.parameters[0]!.master, 2)));
    expect([parameter.value.item(), held.item()]).toEqual([2, 1]);
  });
});
