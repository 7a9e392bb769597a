import { type DType, Generator } from '../../src/engine/index.ts';
import { readModelConfig } from '../../src/models/config/read.ts';
import type { CausalLM } from '../../src/models/contract.ts';
import { initialiseModel } from '../../src/models/registry.ts';

const COMMON = { vocab_size: 53, max_position_embeddings: 64, bos_token_id: 1, eos_token_id: 2 };

/** `config.json` of models small enough to differentiate by hand, one an architecture. */
export const TINY_CONFIGS = {
  llama: {
    ...COMMON,
    model_type: 'llama',
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    tie_word_embeddings: true,
    initializer_range: 0.3,
  },
  gemma3: {
    ...COMMON,
    model_type: 'gemma3_text',
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 3,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    query_pre_attn_scalar: 12,
    sliding_window: 6,
    sliding_window_pattern: 2,
    initializer_range: 0.3,
  },
  granite: {
    ...COMMON,
    model_type: 'granite',
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    tie_word_embeddings: true,
    attention_multiplier: 0.3,
    embedding_multiplier: 3,
    residual_multiplier: 0.4,
    logits_scaling: 2,
    initializer_range: 0.3,
  },
  gpt2: {
    ...COMMON,
    model_type: 'gpt2',
    n_embd: 16,
    n_layer: 2,
    n_head: 4,
    n_positions: 64,
    initializer_range: 0.3,
  },
  gptNeoX: {
    ...COMMON,
    model_type: 'gpt_neox',
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    rotary_pct: 0.5,
    tie_word_embeddings: false,
    initializer_range: 0.3,
  },
} as const;

/** A random model, the same for the same seed whatever the dtype. `overrides` replace fields of its config. */
export function tinyModel(
  name: keyof typeof TINY_CONFIGS = 'llama',
  dtype: DType = 'float64',
  seed = 1,
  overrides: Readonly<Record<string, unknown>> = {},
): CausalLM {
  const config = readModelConfig({ ...TINY_CONFIGS[name], ...overrides });
  return initialiseModel(config, new Generator(seed), { dtype, device: 'cpu' });
}
