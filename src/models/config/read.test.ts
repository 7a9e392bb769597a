import { describe, expect, test } from 'vitest';
import { ModelError } from '../../errors.ts';
import { readModelConfig } from './read.ts';

const llama = {
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 3,
  num_attention_heads: 8,
};

describe('readModelConfig', () => {
  test('fills in the defaults of transformers', () => {
    expect(readModelConfig(llama)).toMatchObject({
      family: 'llama',
      kvHeads: 8,
      headWidth: 8,
      maxPositions: 2048,
      normEpsilon: 1e-6,
      tiedEmbeddings: false,
      activation: 'silu',
      rotary: { theta: 10_000, width: 8, scaling: { type: 'default' } },
      biases: { qkv: false, output: false, mlp: false },
      headNorms: 'none',
      layerWindows: [undefined, undefined, undefined],
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: undefined,
      labels: 2,
    });
    expect(readModelConfig({ ...llama, model_type: 'mistral' }).layerWindows).toEqual([4096, 4096, 4096]);
    expect(readModelConfig({ ...llama, model_type: 'mistral' }).kvHeads).toBe(8);
    expect(readModelConfig({ ...llama, model_type: 'qwen2', num_attention_heads: 32 })).toMatchObject({
      kvHeads: 32,
      biases: { qkv: true, output: false, mlp: false },
      bosTokenId: undefined,
      eosTokenIds: [],
    });
    expect(readModelConfig({ ...llama, model_type: 'qwen3', num_key_value_heads: 8 })).toMatchObject({
      headWidth: 128,
      headNorms: 'each',
    });
  });

  test('reads rotary options in the classic and in the version 5 layout alike', () => {
    const scaling = {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 512,
    };
    const classic = { ...llama, rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', ...scaling } };
    const current = { ...llama, rope_parameters: { rope_theta: 5e5, rope_type: 'llama3', ...scaling } };
    const expected = {
      theta: 5e5,
      width: 8,
      scaling: {
        type: 'llama3',
        factor: 8,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalMaxPositions: 512,
      },
    };
    expect(readModelConfig(classic)).toMatchObject({ rotary: expected });
    expect(readModelConfig(current)).toMatchObject({ rotary: expected });
    const oldest = { ...llama, rope_scaling: { type: 'linear', factor: 2 } };
    expect(readModelConfig(oldest)).toMatchObject({ rotary: { scaling: { type: 'linear', factor: 2 } } });
    expect(readModelConfig({ ...llama, rope_scaling: null })).toMatchObject({
      rotary: expected && { theta: 10_000 },
    });
  });

  test('GPT-NeoX rotates a quarter of each head unless it says otherwise', () => {
    const neox = { ...llama, model_type: 'gpt_neox' };
    expect(readModelConfig(neox)).toMatchObject({
      rotary: { width: 2 },
      parallelResidual: true,
      activation: 'gelu',
    });
    expect(readModelConfig({ ...neox, rotary_pct: 0.5, rotary_emb_base: 500 })).toMatchObject({
      rotary: { width: 4, theta: 500 },
    });
    const current = {
      ...neox,
      rope_parameters: { rope_type: 'default', rope_theta: 7, partial_rotary_factor: 1 },
    };
    expect(readModelConfig(current)).toMatchObject({ rotary: { width: 8, theta: 7 } });
  });

  test('GPT-2 scales attention by head width and, if asked, by layer', () => {
    const gpt2 = { model_type: 'gpt2', vocab_size: 100, n_embd: 32, n_layer: 2, n_head: 2 };
    expect(readModelConfig(gpt2)).toMatchObject({
      attentionScales: [0.25, 0.25],
      intermediateWidth: 128,
      tiedEmbeddings: true,
      learnedPositions: true,
      eosTokenIds: [50_256],
    });
    const scaled = {
      ...gpt2,
      scale_attn_weights: false,
      scale_attn_by_inverse_layer_idx: true,
      n_inner: null,
    };
    expect(readModelConfig(scaled)).toMatchObject({ attentionScales: [1, 0.5] });
  });

  test('Gemma 3: windows and angles by layer, in the classic and in the version 5 layout', () => {
    const gemma = {
      ...llama,
      model_type: 'gemma3_text',
      num_key_value_heads: 2,
      head_dim: 4,
      sliding_window: 9,
    };
    const classic = {
      ...gemma,
      sliding_window_pattern: 3,
      rope_theta: 5e5,
      rope_local_base_freq: 2e3,
      rope_scaling: { rope_type: 'linear', factor: 8 },
      query_pre_attn_scalar: 64,
    };
    const current = {
      ...gemma,
      layer_types: ['sliding_attention', 'sliding_attention', 'full_attention'],
      rope_parameters: {
        full_attention: { rope_type: 'linear', factor: 8, rope_theta: 5e5 },
        sliding_attention: { rope_type: 'default', rope_theta: 2e3 },
      },
      query_pre_attn_scalar: 64,
    };
    const full = { theta: 5e5, width: 4, scaling: { type: 'linear', factor: 8 } };
    const local = { theta: 2e3, width: 4, scaling: { type: 'default' } };
    for (const config of [classic, current].map((raw) => readModelConfig(raw))) {
      expect(config).toMatchObject({
        layerWindows: [9, 9, undefined],
        layerRotary: [local, local, full],
        rotary: full,
        attentionScale: 1 / 8,
        embeddingScale: 8,
        roundsEmbeddingScale: true,
        activation: 'gelu_pytorch_tanh',
        tiedEmbeddings: true,
        blockNorms: 'both',
        normStyle: 'offset',
        headNorms: 'each',
      });
    }
    expect(readModelConfig({ ...gemma, num_hidden_layers: 7 })).toMatchObject({
      layerWindows: [9, 9, 9, 9, 9, undefined, 9],
      rotary: { theta: 1e6 },
    });
  });

  test('SmolLM3: every fourth layer turns nothing, or those that it names', () => {
    const smol = { ...llama, model_type: 'smollm3', num_hidden_layers: 4 };
    const turns = (raw: Record<string, unknown>) => {
      const config = readModelConfig(raw);
      return config.family === 'llama' && config.layerRotary.map((rotary) => rotary?.theta);
    };
    expect(turns(smol)).toEqual([2e6, 2e6, 2e6, undefined]);
    expect(turns({ ...smol, rope_theta: 5, no_rope_layers: [0, 1, 1, 1, 1] })).toEqual([undefined, 5, 5, 5]);
    expect(() => readModelConfig({ ...smol, no_rope_layers: [1, 0] })).toThrow(/0 or 1 for each of 4 layers/);
  });

  test('Granite: four factors; OLMo 2: norms of what blocks give', () => {
    const factors = {
      attention_multiplier: 0.5,
      embedding_multiplier: 12,
      residual_multiplier: 0.22,
      logits_scaling: 8,
    };
    const scales = {
      attentionScale: 0.5,
      embeddingScale: 12,
      roundsEmbeddingScale: false,
      residualScale: 0.22,
      logitDivisor: 8,
    };
    expect(readModelConfig({ ...llama, model_type: 'granite', ...factors })).toMatchObject(scales);
    expect(() => readModelConfig({ ...llama, ...factors })).toThrow(/logits_scaling = 8 is not supported/);
    expect(readModelConfig({ ...llama, model_type: 'olmo2' })).toMatchObject({
      blockNorms: 'outputs',
      normStyle: 'wide',
      headNorms: 'together',
      normEpsilon: 1e-5,
    });
  });

  test("sliding windows by Qwen's three ways of saying where", () => {
    const qwen = {
      ...llama,
      model_type: 'qwen2',
      num_key_value_heads: 8,
      sliding_window: 16,
      max_window_layers: 2,
    };
    expect(readModelConfig(qwen).layerWindows).toEqual([undefined, undefined, undefined]);
    expect(readModelConfig({ ...qwen, use_sliding_window: true }).layerWindows).toEqual([
      undefined,
      undefined,
      16,
    ]);
    const layer_types = ['sliding_attention', 'full_attention', 'sliding_attention'];
    expect(readModelConfig({ ...qwen, use_sliding_window: true, layer_types }).layerWindows).toEqual([
      16,
      undefined,
      16,
    ]);
    expect(
      readModelConfig({ ...llama, model_type: 'mistral', sliding_window: null }).layerWindows[0],
    ).toBeUndefined();
  });

  test('stop tokens come from both files, once each', () => {
    expect(readModelConfig({ ...llama, eos_token_id: 5 }, { eos_token_id: [5, 9] }).eosTokenIds).toEqual([
      5, 9,
    ]);
    expect(readModelConfig({ ...llama, eos_token_id: null }).eosTokenIds).toEqual([]);
  });

  test('labels of a classifier are counted', () => {
    expect(readModelConfig({ ...llama, id2label: { 0: 'reward' } }).labels).toBe(1);
    expect(readModelConfig({ ...llama, num_labels: 4 }).labels).toBe(4);
  });

  test.each([
    [{ hidden_act: 'mish' }, /hidden_act must be one of .*got "mish"/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rotary scaling "yarn" is not supported/],
    [{ rope_scaling: { type: 'longrope' } }, /rotary scaling "longrope"/],
    [{ rope_scaling: { rope_type: 'linear' } }, /factor must be a finite number, it is missing/],
    [
      { rope_parameters: { full_attention: { rope_type: 'default' } } },
      /differ by layer type \(full_attention\)/,
    ],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor is not part of this architecture/],
    [{ quantization_config: { quant_method: 'gptq' } }, /quantization_config \("gptq"\)/],
    [{ sliding_window: 128 }, /sliding_window = 128 is not part of this architecture/],
    [{ final_logit_softcapping: 30 }, /final_logit_softcapping = 30/],
    [{ attn_logit_softcapping: 50 }, /attn_logit_softcapping = 50/],
    [{ num_local_experts: 8 }, /num_local_experts = 8/],
    [{ model_type: 'gemma3_text', use_bidirectional_attention: true }, /use_bidirectional_attention = true/],
    [{ query_pre_attn_scalar: 64 }, /query_pre_attn_scalar = 64 is not supported/],
    [{ num_key_value_heads: 3 }, /not a multiple of num_key_value_heads \(3\)/],
    [{ vocab_size: undefined }, /vocab_size must be a positive whole number, it is missing/],
    [{ tie_word_embeddings: 'yes' }, /tie_word_embeddings must be true or false, got "yes"/],
    [{ model_type: 'qwen2', mlp_bias: true, num_key_value_heads: 8 }, /mlp_bias = true is not part/],
    [
      { model_type: 'qwen3', num_key_value_heads: 8, layer_types: ['chunked_attention'] },
      /layer_types must name 3 layers/,
    ],
    [
      { model_type: 'gpt2', n_embd: 4, n_head: 1, n_layer: 1, add_cross_attention: true },
      /add_cross_attention = true/,
    ],
  ])('names what it cannot honour: %j', (change, message) => {
    const read = () => readModelConfig({ ...llama, ...change });
    expect(read).toThrow(ModelError);
    expect(read).toThrow(message);
  });

  test('reports every problem at once', () => {
    const read = () =>
      readModelConfig({ ...llama, hidden_act: 'x', rope_scaling: { type: 'yarn' }, vocab_size: 0 });
    for (const name of [/hidden_act/, /vocab_size/, /yarn/]) expect(read).toThrow(name);
  });

  test('names an architecture it does not know, and those it does', () => {
    expect(() => readModelConfig({ model_type: 'gemma3' })).toThrow(/model_type "gemma3"/);
    expect(() => readModelConfig({})).toThrow(/model_type undefined/);
  });
});
