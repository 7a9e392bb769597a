import { afterAll, describe, expect, it } from 'vitest';
import { TINY_CONFIGS, tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import type { TokenizedPair } from '../data/contract.ts';
import {
  type DType,
  enableGrad,
  Generator,
  grad,
  memory,
  ops,
  setThreads,
  type Tensor,
  tensor,
  tidy,
} from '../engine/index.ts';
import { packedAttention } from '../models/attention/packed.ts';
import type { CausalLM } from '../models/contract.ts';
import { attachLora } from '../nn/lora.ts';
import type { Parameter } from '../nn/parameter.ts';
import { createObjective } from '../objectives/index.ts';
import type { PairScore } from '../runs/index.ts';
import { GradientStore } from './gradients.ts';
import { languageModelPass, type PassOptions } from './pass.ts';
import { BatchPlan } from './plan.ts';
import { PreferenceTask } from './preference-task.ts';
import { scoreRow } from './score.ts';

// These models are too small for two threads to help.
setThreads(1);

const objective = createObjective({ name: 'dpo', beta: 0.3 });

/** Σ log-probability of one completion, as the definition says: one sequence, whole, through autograd. */
function plainLogp(model: CausalLM, prompt: Int32Array, completion: Int32Array): Tensor {
  const whole = Int32Array.from([...prompt, ...completion]);
  const length = whole.length;
  const tokens = tensor(whole, { shape: [length], dtype: 'int64' });
  const positions = tensor(Int32Array.from(whole.keys()), { shape: [length], dtype: 'int64' });
  const context = model.context(positions, packedAttention([{ start: 0, length }], model));
  let hidden = model.embed(tokens, positions);
  for (const layer of model.layers) hidden = layer.forward(hidden, context);
  const logps = ops.logSoftmax(model.head.forward(model.finalNorm(hidden)), 1);
  const next = ops.narrow(logps, 0, prompt.length - 1, completion.length);
  return ops.sum(ops.gather(next, 1, tensor(completion, { shape: [completion.length, 1], dtype: 'int64' })));
}

/** Mean DPO loss and gradients, one sequence at a time. */
function plainGradients(
  model: CausalLM,
  parameters: readonly Parameter[],
  pairs: readonly TokenizedPair[],
  reference: readonly PairScore[],
): { loss: number; gradients: Float64Array[] } {
  return tidy(() =>
    enableGrad(() => {
      const losses = pairs.map(({ prompt, chosen, rejected }, i) => {
        const gap = ops.sub(plainLogp(model, prompt, chosen), plainLogp(model, prompt, rejected));
        const offset = reference[i]!.chosen.logp - reference[i]!.rejected.logp;
        return ops.neg(ops.logSigmoid(ops.mul(ops.sub(gap, offset), 0.3)));
      });
      const loss = ops.mean(ops.stack(losses));
      const gradients = grad(
        [loss],
        parameters.map(({ value }) => value),
      );
      return { loss: loss.item(), gradients: gradients.map((x) => x!.toFloat64()) };
    }),
  );
}

function packedGradients(
  model: CausalLM,
  parameters: readonly Parameter[],
  pairs: readonly TokenizedPair[],
  reference: readonly PairScore[],
  options: PassOptions & { rows?: number } = {},
): { loss: number; gradients: Float64Array[] } {
  const task = new PreferenceTask({ pairs, reference }, objective);
  const { rows = pairs.length, ...pass } = options;
  const store = new GradientStore();
  let loss = 0;
  const rowPass = languageModelPass(model, task, pass);
  for (let start = 0; start < pairs.length; start += rows) {
    const items = pairs.map((_, i) => i).slice(start, start + rows);
    const { result } = rowPass({ items, totalWeight: pairs.length, gradients: store, check: () => {} });
    loss += result.losses.reduce((sum, value) => sum + value, 0) / pairs.length;
  }
  const gradients = parameters.map((parameter) => store.get(parameter)!.toFloat64());
  store.clear();
  return { loss, gradients };
}

function relativeDifference(a: Float64Array, b: Float64Array): number {
  expect(a.length).toBe(b.length);
  const norm = Math.hypot(...b);
  return Math.hypot(...a.map((value, i) => value - b[i]!)) / (norm === 0 ? 1 : norm);
}

/** The reference is another random model, so that slopes differ from pair to pair. */
function references(name: keyof typeof TINY_CONFIGS, pairs: readonly TokenizedPair[]): PairScore[] {
  const model = tinyModel(name, 'float64', 2);
  const scores = scoreRow(model, pairs);
  model.dispose();
  return scores;
}

describe.each(Object.keys(TINY_CONFIGS) as (keyof typeof TINY_CONFIGS)[])(
  'gradients of %s, packed with shared prompts',
  (name) => {
    const model = tinyModel(name);
    const parameters = [...model.parameters.values()];
    for (const { value } of parameters) value.setRequiresGrad(true);
    const pairs = tinyPairs(6);
    const reference = references(name, pairs);
    const expected = plainGradients(model, parameters, pairs, reference);
    afterAll(() => model.dispose());

    const rowBytes = 53 * 8;
    const variants: Record<string, PassOptions & { rows?: number }> = {
      'one row': {},
      'one pair a row': { rows: 1 },
      'rows of 4 and 2 pairs': { rows: 4 },
      'layers computed again': { recompute: true },
      'head in chunks of 5 positions, kept': { chunkBytes: 5 * rowBytes },
      'head in chunks, computed again': { chunkBytes: 5 * rowBytes, keepBytes: 0, recompute: true },
    };
    it.each(Object.entries(variants))('equal those of one sequence at a time: %s', (_, options) => {
      const received = packedGradients(model, parameters, pairs, reference, options);
      expect(received.loss).toBeCloseTo(expected.loss, 12);
      expect(received.gradients).toHaveLength(parameters.length);
      for (const [index, value] of received.gradients.entries()) {
        expect(relativeDifference(value, expected.gradients[index]!)).toBeLessThan(1e-11);
      }
    });

    it('equal those of one sequence at a time when pairs of one prompt are batched to share it', () => {
      const grouped = pairs.map((pair, i) => ({ ...pair, prompt: pairs[i % 2]!.prompt }));
      const scores = references(name, grouped);
      const task = new PreferenceTask({ pairs: grouped, reference: scores }, objective);
      const plan = BatchPlan.of(task, { pairs: 3, accumulate: 2, groupPrompts: true, seed: 0 });
      const store = new GradientStore();
      const rowPass = languageModelPass(model, task);
      const tokens = plan.step(0).passes.map((items) => {
        return rowPass({ items, totalWeight: grouped.length, gradients: store, check: () => {} }).tokens;
      });
      const [first, second] = grouped;
      const alone = grouped.map((_, item) => task.tokens(item)).reduce((a, b) => a + b);
      const saved = 2 * (first!.prompt.length + second!.prompt.length);
      expect(tokens.reduce((a, b) => a + b)).toBe(alone - saved);
      const sequences = plainGradients(model, parameters, grouped, scores);
      for (const [index, parameter] of parameters.entries()) {
        const received = store.get(parameter)!.toFloat64();
        expect(relativeDifference(received, sequences.gradients[index]!)).toBeLessThan(1e-11);
      }
      store.clear();
    });

    it('is the same to the bit when layers are computed again', () => {
      const kept = packedGradients(model, parameters, pairs, reference);
      const again = packedGradients(model, parameters, pairs, reference, { recompute: true });
      expect(again).toEqual(kept);
    });
  },
);

describe('LoRA', () => {
  it('trains the adapters and nothing else, with the gradients of autograd', () => {
    const model = tinyModel('llama');
    const linears = model.layers.slice(1).flatMap((layer) => [...layer.linears.values()]);
    const adapted = attachLora(linears, {
      rank: 2,
      alpha: 4,
      targetModules: ['q_proj', 'down_proj'],
      generator: new Generator(5),
    });
    const parameters = adapted.flatMap(({ adapter }) => [adapter!.a, adapter!.b]);
    tidy(() => {
      // B is zero at first, which would hide errors in A's gradient.
      for (const { b } of adapted.map(({ adapter }) => adapter!)) ops.fill_(b.value, 0.05);
    });
    for (const { value } of parameters) value.setRequiresGrad(true);
    const pairs = tinyPairs(4, 7);
    const reference = references('llama', pairs);
    const expected = plainGradients(model, parameters, pairs, reference);
    for (const recompute of [false, true]) {
      const received = packedGradients(model, parameters, pairs, reference, { recompute });
      for (const [index, value] of received.gradients.entries()) {
        expect(relativeDifference(value, expected.gradients[index]!)).toBeLessThan(1e-11);
      }
    }
    const store = new GradientStore();
    const task = new PreferenceTask({ pairs, reference }, objective);
    languageModelPass(model, task)({ items: [0, 1], totalWeight: 2, gradients: store, check: () => {} });
    expect(store.values()).toHaveLength(parameters.length);
    store.clear();
    model.dispose();
  });
});

describe('bf16', () => {
  it('gives the fp32 loss and gradients within what its 8 bits allow', () => {
    const pairs = tinyPairs(6);
    const reference = references('llama', pairs);
    const run = (dtype: DType) => {
      const model = tinyModel('llama', dtype, 1, { initializer_range: 0.1 });
      const parameters = [...model.parameters.values()];
      for (const { value } of parameters) value.setRequiresGrad(true);
      const result = packedGradients(model, parameters, pairs, reference);
      model.dispose();
      return result;
    };
    const exact = run('float32');
    const half = run('bfloat16');
    expect(Math.abs(half.loss - exact.loss)).toBeLessThan(0.01);
    const all = (gradients: Float64Array[]) => Float64Array.from(gradients.flatMap((g) => [...g]));
    expect(relativeDifference(all(half.gradients), all(exact.gradients))).toBeLessThan(0.05);
  });
});

describe('memory', () => {
  it('holds no tensor after a pass', () => {
    const model = tinyModel('llama', 'float32');
    for (const { value } of model.parameters.values()) value.setRequiresGrad(true);
    const pairs = tinyPairs(4);
    const task = new PreferenceTask({ pairs, reference: references('llama', pairs) }, objective);
    const store = new GradientStore();
    const before = memory().liveTensors;
    for (let i = 0; i < 3; i++) {
      const rowPass = languageModelPass(model, task, { recompute: i === 1 });
      rowPass({ items: [0, 1, 2, 3], totalWeight: 4, gradients: store, check: () => {} });
      store.clear();
      expect(memory().liveTensors).toBe(before);
    }
    model.dispose();
  });
});
