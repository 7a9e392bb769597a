import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { full, keep, ops, type Tensor, tidy } from '../../engine/index.ts';
import { createModel, readModelConfig } from '../../models/index.ts';
import type { JsonObject } from '../../text/json.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import { modelTensors } from '../load.ts';
import { openSafetensorsDirectory } from '../safetensors.ts';
import type { WeightType } from '../weight-type.ts';
import { CONFIG_KEY, ggufConfig } from './config.ts';
import { exportGguf } from './export.ts';
import { readGgufHeader } from './read.ts';
import { llama3FrequencyFactors, recogniseLlama3Scaling } from './rope.ts';
import { ggufWeights } from './weights.ts';

const MODELS = fileURLToPath(new URL('../../../tests/fixtures/models/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'mallows-export-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A tokenizer of two tokens: any model has that many embeddings. */
const tokenizer = new Tokenizer({
  tokenizer: {
    added_tokens: [],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
  },
  config: { bos_token: 'a', eos_token: 'b' },
});

/** Options of the fixtures' models that llama.cpp has no word for, replaced by those that it has. */
const STATABLE: Readonly<Record<string, JsonObject>> = {
  gemma3: {
    query_pre_attn_scalar: 16,
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
  },
  smollm3: { no_rope_layers: [1, 1, 1], use_sliding_window: false },
};

function openFixture(name: string): { config: JsonObject; tensors: Map<string, Tensor>; dispose(): void } {
  const file = JSON.parse(readFileSync(join(MODELS, name, 'config.json'), 'utf8'));
  const config = { ...file, ...STATABLE[name] };
  const weights = openSafetensorsDirectory(join(MODELS, name));
  const model = createModel(readModelConfig(config), weights, { dtype: 'float32', device: 'cpu' });
  return { config, tensors: modelTensors(model), dispose: () => model.dispose() };
}

const exportable = readdirSync(MODELS).filter((name) => name !== 'llama-dynamic' && name !== 'gpt2-scaled');

describe('a model written to GGUF', () => {
  it.each(exportable)('%s comes back with the same weights and the same configuration', async (name) => {
    const path = join(directory, `${name}.gguf`);
    const { config, tensors, dispose } = openFixture(name);
    const notices: string[] = [];
    await exportGguf(path, {
      config,
      tensors,
      tokenizer,
      type: 'F32',
      name,
      notice: (text) => notices.push(text),
    });
    const header = readGgufHeader(path);
    const weights = ggufWeights(header);
    expect([...weights.names()].sort()).toEqual([...tensors.keys()].sort());
    for (const [key, value] of tensors) {
      expect(weights.shape(key), key).toEqual(value.shape);
      expect(
        tidy(() => ops.equal(weights.get(key), value)),
        key,
      ).toBe(true);
    }

    expect(ggufConfig(header)).toEqual(config);
    dispose();
  });

  // What llama.cpp's own metadata cannot say: which GELU, an unusual RoPE scaling, a sliding window.
  const exactlyStated = exportable.filter(
    (name) => !['gpt-neox-sequential', 'llama3', 'mistral', 'qwen2'].includes(name),
  );

  it.each(exactlyStated)('%s is described by the metadata that llama.cpp knows', async (name) => {
    const path = join(directory, `${name}.gguf`);
    const { config, tensors, dispose } = openFixture(name);
    await exportGguf(path, { config, tensors, tokenizer, type: 'F32', name });
    const header = readGgufHeader(path);
    const metadata = new Map([...header.metadata].filter(([key]) => key !== CONFIG_KEY));
    const { raw: _, ...again } = readModelConfig(ggufConfig({ ...header, metadata }));
    const { raw: __, ...before } = readModelConfig(config);
    const ids = { bosTokenId: 0, eosTokenIds: [1], padTokenId: undefined };
    const unstated = { initializerRange: before.initializerRange, labels: before.labels };
    expect({ ...again, ...unstated }).toEqual({ ...before, ...ids });
    dispose();
  });

  it('has no sliding window in llama.cpp, so that its context ends where the window does', async () => {
    const path = join(directory, 'window.gguf');
    const { config, tensors, dispose } = openFixture('mistral');
    const notices: string[] = [];
    await exportGguf(path, {
      config,
      tensors,
      tokenizer,
      type: 'F32',
      name: 'm',
      notice: (text) => notices.push(text),
    });
    expect(readGgufHeader(path).metadata.get('llama.context_length')).toBe(config.sliding_window);
    expect(notices.join()).toMatch(/no sliding window/);
    dispose();
  });

  it.each(['F16', 'BF16', 'Q8_0'] as const)('as %s is near, norms exact', async (type) => {
    const path = join(directory, `stories-${type}.gguf`);
    const { config, tensors, dispose } = openFixture('stories260K');
    const notices: string[] = [];
    await exportGguf(path, {
      config,
      tensors,
      tokenizer,
      type,
      name: 'stories',
      notice: (text) => notices.push(text),
    });
    const weights = ggufWeights(readGgufHeader(path));
    const tolerance = { F16: 2 ** -11, BF16: 2 ** -8, Q8_0: 1 / 127 }[type];
    tidy(() => {
      for (const [key, value] of tensors) {
        const error = ops.max(ops.abs(ops.sub(weights.get(key), value))).item();
        const largest = ops.max(ops.abs(value)).item();
        expect(error, key).toBeLessThanOrEqual(value.shape.length === 1 ? 0 : tolerance * largest);
      }
    });
    // Its feed-forward rows are 172 wide, which is not whole blocks of 32.
    expect(notices.length > 0).toBe(type === 'Q8_0');
    dispose();
  });

  it.each([
    ['f16', 65_520],
    ['q8_0', 127 * 65_520],
    ['bf16', 3.4e38],
  ] as const)(
    'is refused as %s where a number of %d would become infinite, with the name of its tensor',
    async (type, large) => {
      const path = join(directory, `large-${type}.gguf`);
      const { config, tensors, dispose } = openFixture('stories260K');
      const name = 'model.layers.0.self_attn.q_proj.weight';
      const exported = (value: number) =>
        exportGguf(path, {
          config,
          tensors: new Map([...tensors, [name, keep(full(tensors.get(name)!.shape, value))]]),
          tokenizer,
          type,
          name: 'large',
        });
      for (const value of [large, -large, Number.NaN]) {
        await expect(exported(value)).rejects.toMatchObject({
          code: 'weights-not-finite',
          message: expect.stringContaining('blk.0.attn_q.weight'),
        });
      }
      expect(readdirSync(directory).filter((file) => file.startsWith(`large-${type}`))).toEqual([]);
      // The largest that the type still holds.
      await exported(large * (1 - 2 ** -9));
      const stored = tidy(() => ops.max(ggufWeights(readGgufHeader(path)).get(name)).item());
      expect(stored / large).toBeCloseTo(1, 2);
      dispose();
    },
  );

  it('has a type that every spelling means, and no other', async () => {
    const { config, tensors, dispose } = openFixture('stories260K');
    const written = async (type: WeightType) => {
      const path = join(directory, `stories-${type}-spelt.gguf`);
      await exportGguf(path, { config, tensors, tokenizer, type, name: 'stories' });
      return readFileSync(path);
    };
    expect((await written('q8_0')).equals(await written('Q8_0'))).toBe(true);
    expect((await written('bf16')).equals(await written('bfloat16'))).toBe(true);
    await expect(written('q4_0' as WeightType)).rejects.toMatchObject({
      code: 'unknown-dtype',
      hint: expect.stringContaining('q8_0 (Q8_0), float32 (fp32, f32, F32)'),
    });
    dispose();
  });

  it('is refused where GGUF cannot say what the model does', async () => {
    const { config, tensors, dispose } = openFixture('llama-dynamic');
    const path = join(directory, 'refused.gguf');
    const request = { config, tensors, tokenizer, type: 'F32', name: 'x' } as const;
    await expect(exportGguf(path, request)).rejects.toThrowError(/RoPE scaling of the type dynamic/);
    await expect(
      exportGguf(path, { ...request, config: { ...config, model_type: 'bert' } }),
    ).rejects.toMatchObject({ code: 'unsupported-architecture' });
    await expect(
      exportGguf(path, {
        ...request,
        tensors: new Map([['model.extra.weight', keep(ops.zeros([1], { dtype: 'float32', device: 'cpu' }))]]),
      }),
    ).rejects.toThrowError(/no tensor called model.extra.weight/);
    dispose();
  });
});

describe("a model's configuration in GGUF", () => {
  /** Metadata of a fixture that is written under a changed configuration, and what was said about it. */
  async function metadataOf(name: string, changes: JsonObject) {
    const path = join(directory, `${name}-changed.gguf`);
    const { config, tensors, dispose } = openFixture(name);
    const notices: string[] = [];
    try {
      await exportGguf(path, {
        config: { ...config, ...changes },
        tensors,
        tokenizer,
        type: 'F32',
        name,
        notice: (text) => notices.push(text),
      });
    } finally {
      dispose();
    }
    return { metadata: readGgufHeader(path).metadata, notices };
  }

  it.each([
    ['gpt2-scaled', {}],
    ['gpt2', { scale_attn_by_inverse_layer_idx: true }],
    ['gpt2', { scale_attn_weights: false }],
    ['gemma3', { query_pre_attn_scalar: 24 }],
    ['gemma3', { layer_types: ['full_attention', 'sliding_attention', 'sliding_attention'] }],
    ['smollm3', { no_rope_layers: [1, 0, 1] }],
  ])('cannot hold the attention of %s with %j', async (name, changes) => {
    await expect(metadataOf(name, changes)).rejects.toMatchObject({
      code: 'gguf-unsupported',
      message: expect.stringMatching(/attention cannot be exported/),
    });
  });

  it('has the defaults that the model computes with', async () => {
    const qwen3 = await metadataOf('qwen3', { head_dim: undefined });
    expect(qwen3.metadata.get('qwen3.attention.key_length')).toBe(128);
    const mistral = await metadataOf('mistral', {
      num_attention_heads: 16,
      num_key_value_heads: undefined,
      head_dim: undefined,
      sliding_window: undefined,
      max_position_embeddings: 8192,
    });
    expect(mistral.metadata.get('llama.attention.head_count_kv')).toBe(8);
    expect(mistral.metadata.get('llama.context_length')).toBe(4096);
    const neox = await metadataOf('gpt-neox-parallel', { hidden_act: undefined });
    expect(neox.notices.join()).toMatch(/GELU by its tanh approximation/);
  });

  it("keeps GPT-NeoX's linear RoPE scaling, and refuses what llama.cpp would not read", async () => {
    const scaled = (rope_type: string, rest: JsonObject) => ({
      rope_parameters: { rope_type, rope_theta: 10_000, partial_rotary_factor: 0.5, factor: 2, ...rest },
    });
    const { metadata } = await metadataOf('gpt-neox-parallel', scaled('linear', {}));
    expect(metadata.get('gptneox.rope.scaling.factor')).toBe(2);
    const llama3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 };
    await expect(metadataOf('gpt-neox-parallel', scaled('llama3', llama3))).rejects.toThrowError(
      /RoPE scaling of the type llama3/,
    );
  });
});

describe('reading GGUF', () => {
  const header = readGgufHeader(join(MODELS, 'stories260K', 'stories260K-f32.gguf'));

  it('equals the same model in safetensors, and sees that an equal output matrix is tied', () => {
    const safetensors = openSafetensorsDirectory(join(MODELS, 'stories260K'));
    const weights = ggufWeights(header);
    for (const name of safetensors.names()) {
      expect(
        tidy(() => ops.equal(weights.get(name), safetensors.get(name))),
        name,
      ).toBe(true);
    }
    expect(ggufConfig(header).tie_word_embeddings).toBe(true);
    safetensors.close();
  });

  it.each([
    [{ 'general.architecture': 'mamba' }, /architecture mamba/],
    [{ 'llama.rope.dimension_count': 4 }, /turn 4 of 8 dimensions/],
    [{ 'llama.expert_count': 8 }, /expert_count is 8/],
    [{ 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 4 }, /type yarn/],
    [{ 'llama.logit_scale': 0.5 }, /logit_scale is 0.5/],
    [{ 'llama.attention.head_count_kv': [4, 4, 2, 4, 4] }, /differs between layers/],
    [{ 'split.count': 3 }, /split into 3 files/],
    [{ 'llama.block_count': 'five' }, /llama.block_count should be a number/],
  ])('refuses %j by name', (changes, message) => {
    const metadata = new Map([...header.metadata, ...Object.entries(changes)]) as typeof header.metadata;
    expect(() => ggufConfig({ ...header, metadata })).toThrowError(message);
  });
});

describe("llama 3's frequency factors", () => {
  const scaling = {
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };

  it('keep short wavelengths, stretch long ones, and are recognised', () => {
    const factors = llama3FrequencyFactors(scaling, 64, 500000);
    expect(factors[0]).toBe(1);
    expect(factors.at(-1)).toBe(32);
    expect(factors.some((factor) => factor > 1 && factor < 32)).toBe(true);
    expect(recogniseLlama3Scaling(factors, 64, 500000)).toEqual(scaling);
    expect(recogniseLlama3Scaling(factors.fill(3, 5, 6), 64, 500000)).toBeUndefined();
  });
});
