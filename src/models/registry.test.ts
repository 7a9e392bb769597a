import { describe, expect, test } from 'vitest';
import { Generator, memory, noGrad, ops, tensor, tidy, zeros } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import { readModelConfig } from './config/read.ts';
import type { WeightSource } from './parameter-source.ts';
import { createClassifier, createModel, initialiseClassifier, initialiseModel } from './registry.ts';

const CPU = { dtype: 'float32', device: 'cpu' } as const;
const sizes = {
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
};
const llama = readModelConfig({ model_type: 'llama', ...sizes });
const neox = readModelConfig({ model_type: 'gpt_neox', rotary_pct: 1, ...sizes });
const gpt2 = readModelConfig({
  model_type: 'gpt2',
  vocab_size: 11,
  n_embd: 8,
  n_layer: 2,
  n_head: 2,
  n_positions: 9,
});

/** A checkpoint with the names and shapes of a random model. */
function checkpoint(shapes: ReadonlyMap<string, readonly number[]>): WeightSource {
  return { names: () => shapes.keys(), get: (name) => zeros(shapes.get(name)!) };
}

function shapesOf(config: typeof llama): Map<string, readonly number[]> {
  const model = initialiseModel(config, new Generator(1), CPU);
  const shapes = new Map([...model.parameters].map(([name, { value }]) => [name, value.shape]));
  model.dispose();
  return shapes;
}

describe('createModel', () => {
  test.each([
    ['llama', llama],
    ['gpt_neox', neox],
    ['gpt2', gpt2],
  ])(
    '%s reads a checkpoint of its own names, with or without the base prefix, and old buffers',
    (_, config) => {
      const shapes = shapesOf(config);
      const bare = new Map(
        [...shapes].map(([name, shape]) => [name.replace(/^(model|transformer|gpt_neox)\./, ''), shape]),
      );
      bare.set('layers.0.self_attn.rotary_emb.inv_freq', [2]);
      bare.set('layers.0.attention.rotary_emb.inv_freq', [2]);
      bare.set('h.0.attn.bias', [1, 1, 9, 9]);
      bare.set('layers.0.attention.bias', [1, 1, 9, 9]);
      bare.set('layers.1.attention.masked_bias', []);
      const wanted = {
        llama: /self_attn/,
        gpt2: /^h\.0\.attn\.bias/,
        gpt_neox: /attention\.(?!dense|query)/,
      };
      const foreign = [
        'layers.0.self_attn.rotary_emb.inv_freq',
        'h.0.attn.bias',
        'layers.0.attention.bias',
        'layers.1.attention.masked_bias',
        'layers.0.attention.rotary_emb.inv_freq',
      ];
      for (const name of foreign) if (!wanted[config.family].test(name)) bare.delete(name);
      for (const names of [shapes, bare]) {
        const model = createModel(config, checkpoint(names), CPU);
        expect([...model.parameters.keys()]).toEqual([...shapes.keys()]);
        model.dispose();
      }
    },
  );

  test('a GPT-NeoX head may be called embed_out or lm_head', () => {
    const shapes = shapesOf(neox);
    expect(shapes.has('embed_out.weight')).toBe(true);
    shapes.set('lm_head.weight', shapes.get('embed_out.weight')!);
    shapes.delete('embed_out.weight');
    createModel(neox, checkpoint(shapes), CPU).dispose();
  });

  test('a tied head is the embedding, whether or not the file repeats it', () => {
    const shapes = shapesOf(gpt2);
    expect(shapes.has('lm_head.weight')).toBe(false);
    shapes.set('lm_head.weight', [11, 8]);
    const model = createModel(gpt2, checkpoint(shapes), CPU);
    expect(model.head.weight).toBe(model.parameters.get('transformer.wte.weight'));
    model.dispose();
  });

  test('missing, mis-shaped and unexpected weights are all named, and nothing leaks', () => {
    const live = memory().liveTensors;
    const shapes = shapesOf(llama);
    shapes.delete('model.norm.weight');
    shapes.delete('model.layers.1.mlp.up_proj.weight');
    shapes.set('model.layers.0.self_attn.q_proj.weight', [8, 9]);
    shapes.set('model.layers.2.mlp.up_proj.weight', [12, 8]);
    const create = () => createModel(llama, checkpoint(shapes), CPU);
    expect(create).toThrow(ModelError);
    for (const line of [
      /2 missing:\n {4}model\.layers\.1\.mlp\.up_proj\.weight\n {4}model\.norm\.weight/,
      /1 with the wrong shape:\n {4}model\.layers\.0\.self_attn\.q_proj\.weight: expected \[8, 8\], got \[8, 9\]/,
      /1 unexpected:\n {4}model\.layers\.2\.mlp\.up_proj\.weight/,
    ]) {
      expect(create).toThrow(line);
    }
    expect(memory().liveTensors).toBe(live);
  });

  test.each([
    ['an own head', llama],
    ['a head of another name', neox],
    ['a tied head', gpt2],
  ])('a reward model is called one where a language model has %s', (_, config) => {
    const live = memory().liveTensors;
    const shapes = shapesOf(config);
    for (const head of ['lm_head.weight', 'embed_out.weight']) shapes.delete(head);
    shapes.set('score.weight', [1, 8]);
    const create = () => createModel(config, checkpoint(shapes), CPU);
    expect(create).toThrow(expect.objectContaining({ code: 'not-a-language-model' }));
    expect(memory().liveTensors).toBe(live);
    // Anything else that does not fit is a matter of files.
    shapes.set('extra.weight', [1]);
    expect(create).toThrow(expect.objectContaining({ code: 'weights-mismatch' }));
  });

  test('converts to the dtype asked for', () => {
    const model = createModel(llama, checkpoint(shapesOf(llama)), { dtype: 'bfloat16', device: 'cpu' });
    expect([...model.parameters.values()].every(({ value }) => value.dtype === 'bfloat16')).toBe(true);
    model.dispose();
  });
});

describe('embeddings in bf16', () => {
  const bf16 = { dtype: 'bfloat16', device: 'cpu' } as const;

  /** What embeddings of 1.5 become. */
  function embedded(config: typeof llama): number {
    const model = initialiseModel(config, new Generator(1), bf16);
    const value = tidy(() => {
      noGrad(() => ops.fill_(model.parameters.get('model.embed_tokens.weight')!.value, 1.5));
      const at = tensor([0], { dtype: 'int64' });
      return model.embed(at, at).toFloat64()[0]!;
    });
    model.dispose();
    return value;
  }

  // bf16 has steps of 1/16 from 8 on and of 1/8 from 16 on.
  test('are multiplied by Granite’s number as it is: 1.5 · 12.1 = 18.15, not 1.5 · 12.125', () => {
    const granite = readModelConfig({ model_type: 'granite', ...sizes, embedding_multiplier: 12.1 });
    expect(embedded(granite)).toBe(18.125);
  });

  test('are multiplied by Gemma’s rounded: 1.5 · 12.125 = 18.1875, not 1.5 · √147 = 18.1865', () => {
    const gemma = readModelConfig({
      model_type: 'gemma3_text',
      ...sizes,
      hidden_size: 147,
      num_key_value_heads: 1,
    });
    expect(embedded(gemma)).toBe(18.25);
  });
});

describe('random models', () => {
  test('are the same for the same seed, spread as initializer_range says', () => {
    const values = (seed: number) => {
      const model = initialiseModel(llama, new Generator(seed), CPU);
      const embedding = model.parameters.get('model.embed_tokens.weight')!.value.toFloat64();
      const norm = [...model.parameters.get('model.norm.weight')!.value.toFloat64()];
      model.dispose();
      return { embedding, norm };
    };
    const { embedding, norm } = values(3);
    expect(values(3).embedding).toEqual(embedding);
    expect(values(4).embedding).not.toEqual(embedding);
    expect(norm).toEqual(Array(8).fill(1));
    const deviation = Math.sqrt(embedding.reduce((sum, value) => sum + value * value, 0) / embedding.length);
    expect(deviation).toBeGreaterThan(0.016);
    expect(deviation).toBeLessThan(0.024);
  });
});

describe('classifiers', () => {
  test('share the trunk and read score.weight', () => {
    const shapes = shapesOf(llama);
    shapes.delete('lm_head.weight');
    shapes.set('score.weight', [2, 8]);
    const classifier = createClassifier(llama, checkpoint(shapes), CPU);
    expect(classifier.score.weight.value.shape).toEqual([2, 8]);
    expect(classifier.parameters.has('score.weight')).toBe(true);
    classifier.dispose();
  });

  test('start from a language model with a fresh score only when asked to', () => {
    const shapes = shapesOf(llama);
    for (const config of [llama, gpt2]) {
      expect(() => createClassifier(config, checkpoint(shapesOf(config)), CPU)).toThrow(
        expect.objectContaining({
          code: 'not-a-reward',
          message: expect.stringContaining('is a language model'),
        }),
      );
    }
    const incomplete = new Map(shapes);
    incomplete.delete('model.norm.weight');
    expect(() => createClassifier(llama, checkpoint(incomplete), CPU)).toThrow(
      /2 missing:\n {4}model\.norm\.weight\n {4}score\.weight/,
    );
    const live = memory().liveTensors;
    const classifier = createClassifier(llama, checkpoint(shapes), CPU, new Generator(1));
    expect(classifier.score.weight.value.toFloat64().some((value) => value !== 0)).toBe(true);
    classifier.dispose();
    expect(memory().liveTensors).toBe(live);
    initialiseClassifier(llama, new Generator(1), CPU).dispose();
    expect(memory().liveTensors).toBe(live);
  });

  test('tokens out of the vocabulary are an engine error, not a crash', () => {
    const model = initialiseModel(llama, new Generator(1), CPU);
    const token = tensor([11], { dtype: 'int64' });
    expect(() => model.embed(token, token)).toThrow(/index out of range/);
    token.dispose();
    model.dispose();
  });
});
