import { z } from 'zod';
import { ModelError } from '../errors.ts';
import type { ActivationName } from '../nn/activations.ts';
import type { RotaryScaling, RotarySettings } from '../nn/rotary.ts';
import { ConfigFields, isRecord } from './config-fields.ts';
import type { ModelConfig } from './contract.ts';

/** Llama, Mistral, Qwen2 and Qwen3: one architecture, four sets of options. */
export interface LlamaConfig extends ModelConfig {
  readonly family: 'llama';
  readonly activation: ActivationName;
  readonly rotary: RotarySettings;
  /** Biases of q, k and v; of the attention's output; of the three maps of the feed-forward block. */
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  /** RMS norm over each head's query and key (Qwen3). */
  readonly headNorms: boolean;
}

export interface Gpt2Config extends ModelConfig {
  readonly family: 'gpt2';
  readonly activation: ActivationName;
  /** Multiplies q·k before the softmax, one value a layer. */
  readonly attentionScales: readonly number[];
}

export interface GptNeoXConfig extends ModelConfig {
  readonly family: 'gpt_neox';
  readonly activation: ActivationName;
  readonly rotary: RotarySettings;
  readonly attentionBias: boolean;
  /** Attention and feed-forward both read the layer's input, instead of one after the other. */
  readonly parallelResidual: boolean;
}

export type SupportedConfig = LlamaConfig | Gpt2Config | GptNeoXConfig;

/** `model_type` values that `readModelConfig` understands. */
export const SUPPORTED_MODEL_TYPES = ['llama', 'mistral', 'qwen2', 'qwen3', 'gpt2', 'gpt_neox'] as const;
type ModelType = (typeof SUPPORTED_MODEL_TYPES)[number];

/**
 * Reads a parsed `config.json` (and `generation_config.json`, for its stop tokens). Defaults are those of
 * transformers' configuration classes, for both its classic layout and version 5's `rope_parameters`.
 *
 * @throws ModelError `unsupported-architecture`, `unsupported-option` or `invalid-config`; every problem that was
 * found is in the message.
 */
export function readModelConfig(
  raw: Readonly<Record<string, unknown>>,
  generation: Readonly<Record<string, unknown>> = {},
): SupportedConfig {
  const modelType = z.string().safeParse(raw.model_type).data;
  if (!isSupportedType(modelType)) {
    throw new ModelError(
      'unsupported-architecture',
      `This model's architecture is not supported: config.json says model_type ${JSON.stringify(raw.model_type)}.`,
      { hint: `Use a model of one of these types: ${SUPPORTED_MODEL_TYPES.join(', ')}.` },
    );
  }
  const fields = new ConfigFields(raw);
  refuseForeignOptions(fields);
  const eos = [...tokenIds(fields, raw), ...tokenIds(fields, generation)];
  const reader = {
    gpt2: readGpt2,
    gpt_neox: readGptNeoX,
    llama: readLlama,
    mistral: readLlama,
    qwen2: readLlama,
    qwen3: readLlama,
  };
  const config = reader[modelType](fields, modelType);
  fields.throwIfAny(modelType);
  return { ...config, eosTokenIds: [...new Set(eos.length > 0 ? eos : config.eosTokenIds)] };
}

function isSupportedType(value: string | undefined): value is ModelType {
  return (SUPPORTED_MODEL_TYPES as readonly (string | undefined)[]).includes(value);
}

function readLlama(fields: ConfigFields, modelType: ModelType): LlamaConfig {
  const width = fields.size('hidden_size');
  const heads = fields.size('num_attention_heads');
  const layers = fields.size('num_hidden_layers');
  const maxPositions = fields.size('max_position_embeddings', LLAMA_POSITIONS[modelType] ?? 2048);
  const defaultKvHeads = { llama: heads, mistral: 8, qwen2: 32, qwen3: 32 }[modelType as 'llama'];
  const kvHeads = fields.size('num_key_value_heads', defaultKvHeads, heads);
  const headWidth = fields.size('head_dim', modelType === 'qwen3' ? 128 : width / heads, width / heads);
  if (kvHeads > 0 && heads % kvHeads !== 0) {
    fields.problem(`num_attention_heads (${heads}) is not a multiple of num_key_value_heads (${kvHeads})`);
  }
  const attentionBias =
    (modelType === 'llama' || modelType === 'qwen3') && fields.flag('attention_bias', false);
  if (modelType === 'mistral' || modelType === 'qwen2')
    fields.refuseUnless('attention_bias', false, modelType === 'qwen2');
  if (modelType !== 'llama') fields.refuseUnless('mlp_bias', false);
  return {
    ...commonFields(fields, modelType, {
      bos: modelType.startsWith('qwen') ? undefined : 1,
      eos: modelType.startsWith('qwen') ? undefined : 2,
    }),
    family: 'llama',
    width,
    layers,
    heads,
    kvHeads,
    headWidth,
    maxPositions,
    learnedPositions: false,
    intermediateWidth: fields.size('intermediate_size'),
    normEpsilon: fields.number('rms_norm_eps', 1e-6),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    layerWindows: llamaWindows(fields, modelType, layers),
    activation: fields.activation('hidden_act', 'silu'),
    rotary: readRotary(fields, { headWidth, maxPositions, partial: undefined }),
    biases: {
      qkv: attentionBias || modelType === 'qwen2',
      output: attentionBias,
      mlp: modelType === 'llama' && fields.flag('mlp_bias', false),
    },
    headNorms: modelType === 'qwen3',
  };
}

const LLAMA_POSITIONS: Partial<Record<ModelType, number>> = {
  mistral: 131_072,
  qwen2: 32_768,
  qwen3: 32_768,
};

function readGpt2(fields: ConfigFields, modelType: ModelType): Gpt2Config {
  const width = fields.size(fields.has('n_embd') ? 'n_embd' : 'hidden_size');
  const heads = fields.size(fields.has('n_head') ? 'n_head' : 'num_attention_heads');
  const layers = fields.size(fields.has('n_layer') ? 'n_layer' : 'num_hidden_layers');
  const scaled = fields.flag('scale_attn_weights', true);
  const byLayer = fields.flag('scale_attn_by_inverse_layer_idx', false);
  fields.refuseUnless('add_cross_attention', false);
  if (width % heads !== 0) fields.problem(`n_embd (${width}) is not a multiple of n_head (${heads})`);
  const headWidth = width / heads;
  // reorder_and_upcast_attn asks for a softmax in fp32, which the attention kernels always do.
  fields.flag('reorder_and_upcast_attn', false);
  return {
    ...commonFields(fields, modelType, { bos: 50_256, eos: 50_256 }),
    family: 'gpt2',
    width,
    layers,
    heads,
    kvHeads: heads,
    headWidth,
    maxPositions: fields.size(fields.has('n_positions') ? 'n_positions' : 'max_position_embeddings', 1024),
    learnedPositions: true,
    intermediateWidth: fields.size('n_inner', 4 * width, 4 * width),
    normEpsilon: fields.number('layer_norm_epsilon', 1e-5),
    tiedEmbeddings: fields.flag('tie_word_embeddings', true),
    layerWindows: Array<undefined>(layers).fill(undefined),
    activation: fields.activation('activation_function', 'gelu_new'),
    attentionScales: Array.from(
      { length: layers },
      (_, layer) => (scaled ? headWidth ** -0.5 : 1) / (byLayer ? layer + 1 : 1),
    ),
  };
}

function readGptNeoX(fields: ConfigFields, modelType: ModelType): GptNeoXConfig {
  const width = fields.size('hidden_size');
  const heads = fields.size('num_attention_heads');
  const layers = fields.size('num_hidden_layers');
  const maxPositions = fields.size('max_position_embeddings', 2048);
  if (width % heads !== 0)
    fields.problem(`hidden_size (${width}) is not a multiple of num_attention_heads (${heads})`);
  const headWidth = width / heads;
  return {
    ...commonFields(fields, modelType, { bos: 0, eos: 2 }),
    family: 'gpt_neox',
    width,
    layers,
    heads,
    kvHeads: heads,
    headWidth,
    maxPositions,
    learnedPositions: false,
    intermediateWidth: fields.size('intermediate_size'),
    normEpsilon: fields.number('layer_norm_eps', 1e-5),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    layerWindows: Array<undefined>(layers).fill(undefined),
    activation: fields.activation('hidden_act', 'gelu'),
    rotary: readRotary(fields, { headWidth, maxPositions, partial: fields.number('rotary_pct', 0.25) }),
    attentionBias: fields.flag('attention_bias', true),
    parallelResidual: fields.flag('use_parallel_residual', true),
  };
}

function commonFields(
  fields: ConfigFields,
  modelType: ModelType,
  defaults: { readonly bos: number | undefined; readonly eos: number | undefined },
) {
  const labelNames = fields.raw.id2label;
  return {
    modelType,
    vocabularySize: fields.size('vocab_size'),
    bosTokenId: fields.tokenId('bos_token_id', defaults.bos),
    eosTokenIds: defaults.eos === undefined || fields.raw.eos_token_id === null ? [] : [defaults.eos],
    padTokenId: fields.tokenId('pad_token_id', undefined),
    initializerRange: fields.number('initializer_range', 0.02),
    labels: fields.size('num_labels', isRecord(labelNames) ? Object.keys(labelNames).length : 2),
    raw: fields.raw,
  };
}

function tokenIds(fields: ConfigFields, source: Readonly<Record<string, unknown>>): number[] {
  const value = source.eos_token_id;
  if (value === undefined || value === null) return [];
  const ids = z.union([z.int().transform((id) => [id]), z.array(z.int())]).safeParse(value);
  if (ids.success) return ids.data;
  fields.problem(`eos_token_id must be a token id or a list of them, got ${JSON.stringify(value)}`);
  return [];
}

/** Per layer, as transformers decides it: Mistral's holds everywhere, Qwen's from `max_window_layers` on or by `layer_types`. */
function llamaWindows(fields: ConfigFields, modelType: ModelType, layers: number): (number | undefined)[] {
  const types = fields.raw.layer_types ?? undefined;
  if (modelType === 'llama') {
    fields.refuseUnless('sliding_window', null);
    fields.refuseUnless('use_sliding_window', false);
  }
  const inUse =
    modelType === 'mistral' || (modelType.startsWith('qwen') && fields.flag('use_sliding_window', false));
  const window =
    inUse && fields.raw.sliding_window !== null ? fields.size('sliding_window', 4096) : undefined;
  const firstWindowed = modelType === 'mistral' ? 0 : fields.count('max_window_layers', 28);
  const byIndex = Array.from({ length: layers }, (_, layer) => (layer >= firstWindowed ? window : undefined));
  if (types === undefined) return byIndex;

  const parsed = z
    .array(z.enum(['full_attention', 'sliding_attention']))
    .length(layers)
    .safeParse(types);
  if (!parsed.success) {
    fields.problem(
      `layer_types must name ${layers} layers as full_attention or sliding_attention, got ${JSON.stringify(types)}`,
    );
    return byIndex;
  }
  const byType = parsed.data.map((type) => (type === 'sliding_attention' ? window : undefined));
  if (modelType.startsWith('qwen')) return byType;
  if (byType.some((layerWindow, layer) => layerWindow !== byIndex[layer])) {
    fields.problem(`layer_types that mix windows are not part of ${modelType}, got ${JSON.stringify(types)}`);
  }
  return byIndex;
}

function readRotary(
  fields: ConfigFields,
  model: { readonly headWidth: number; readonly maxPositions: number; readonly partial: number | undefined },
): RotarySettings {
  const raw = fields.raw;
  const declared = [raw.rope_scaling, raw.rope_parameters].find(
    (value) => isRecord(value) && Object.keys(value).length > 0,
  );
  const parameters = new ConfigFields(isRecord(declared) ? declared : {}, fields);
  const nested = Object.entries(parameters.raw).filter(([, value]) => isRecord(value));
  if (nested.length > 0) {
    fields.problem(
      `rope_parameters that differ by layer type (${nested.map(([key]) => key).join(', ')}) are not supported`,
    );
  }
  const neox = model.partial !== undefined;
  const theta = parameters.number(
    'rope_theta',
    fields.number(neox ? 'rotary_emb_base' : 'rope_theta', 10_000),
  );
  const partial = parameters.number(
    'partial_rotary_factor',
    fields.number('partial_rotary_factor', model.partial ?? 1),
  );
  if (!neox && partial !== 1) {
    fields.problem(`partial_rotary_factor is not part of this architecture, got ${partial}`);
  }
  const width = Math.trunc(model.headWidth * partial);
  if (width < 2 || width % 2 !== 0) fields.problem(`rotary width must be even and positive, got ${width}`);
  return { theta, width, scaling: readScaling(parameters, fields, model.maxPositions) };
}

function readScaling(parameters: ConfigFields, fields: ConfigFields, maxPositions: number): RotaryScaling {
  const type = (parameters.raw.rope_type ?? parameters.raw.type ?? 'default') as RotaryScaling['type'];
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
      return { type, factor: parameters.number('factor') };
    case 'dynamic':
      return { type, factor: parameters.number('factor'), maxPositions };
    case 'llama3':
      return {
        type,
        factor: parameters.number('factor'),
        lowFrequencyFactor: parameters.number('low_freq_factor'),
        highFrequencyFactor: parameters.number('high_freq_factor'),
        originalMaxPositions: fields.has('original_max_position_embeddings')
          ? fields.size('original_max_position_embeddings')
          : parameters.size('original_max_position_embeddings', maxPositions),
      };
    default:
      fields.problem(
        `rotary scaling ${JSON.stringify(type)} is not supported (supported: default, linear, dynamic, llama3)`,
      );
      return { type: 'default' };
  }
}

/** Options of other architectures that would change the arithmetic if this model had them. */
function refuseForeignOptions(fields: ConfigFields): void {
  if (isRecord(fields.raw.quantization_config)) {
    const method = fields.raw.quantization_config.quant_method;
    fields.problem(
      `quantization_config (${JSON.stringify(method ?? 'unnamed')}): load an unquantised checkpoint or a GGUF`,
    );
  }
  const neutral: readonly (readonly [string, readonly unknown[]])[] = [
    ['attn_logit_softcapping', []],
    ['final_logit_softcapping', []],
    ['query_pre_attn_scalar', []],
    ['clip_qkv', []],
    ['alibi', [false]],
    ['num_local_experts', [0, 1]],
    ['num_experts', [0, 1]],
    ['attention_multiplier', [1]],
    ['embedding_multiplier', [1]],
    ['residual_multiplier', [1]],
    ['logits_scaling', [1]],
    ['logit_scale', [1]],
    ['attention_chunk_size', []],
    ['no_rope_layers', []],
  ];
  for (const [name, allowed] of neutral) {
    const value = fields.raw[name];
    if (value !== undefined && value !== null && !allowed.includes(value)) {
      fields.problem(`${name} = ${JSON.stringify(value)} is not supported`);
    }
  }
}
