import { ModelError } from '../../errors.ts';
import type { JsonObject } from '../../text/json.ts';
import { dequantize } from './dequantize.ts';
import { Metadata } from './metadata.ts';
import type { GgufArchitecture, LlamaLike } from './names.ts';
import { type GgufHeader, readGgufBytes } from './read.ts';
import { recogniseLlama3Scaling } from './rope.ts';

const ARCHITECTURES: readonly GgufArchitecture[] = [
  ...(['llama', 'qwen2', 'qwen3', 'smollm3', 'olmo2', 'granite', 'gemma3'] as const),
  ...(['gpt2', 'gptneox'] as const),
];

/** The file's architecture; any other than the supported ones is refused by name. */
export function ggufArchitecture(header: GgufHeader): GgufArchitecture {
  const metadata = new Metadata(header.metadata, header.path);
  const name = metadata.requireText('general.architecture');
  const architecture = ARCHITECTURES.find((candidate) => candidate === name);
  if (architecture !== undefined) return architecture;
  throw new ModelError('gguf-unsupported', `${header.path} holds a model of the architecture ${name}.`, {
    hint: `Supported are ${ARCHITECTURES.join(', ')} (llama includes Mistral, SmolLM2 and TinyLlama).`,
  });
}

/**
 * Under this key our own exports carry the model's config.json, because llama.cpp's metadata cannot say all of it
 * (which GELU, a sliding window, unusual RoPE scaling).
 */
export const CONFIG_KEY = 'mallowspo.config';

/** The `config.json` that `transformers` would have for the model in this file. */
export function ggufConfig(header: GgufHeader): JsonObject {
  const architecture = ggufArchitecture(header);
  const metadata = new Metadata(header.metadata, header.path);
  const carried = metadata.text(CONFIG_KEY);
  if (carried !== undefined) return JSON.parse(carried) as JsonObject;
  refuseUnsupported(header, metadata, architecture);
  const common = {
    vocab_size: tensorShape(header, 'token_embd.weight')[0]!,
    tie_word_embeddings: isTied(header),
    ...specialIds(metadata),
    torch_dtype: 'float32',
  };
  if (architecture === 'gpt2') return { ...gpt2Config(metadata), ...common };
  if (architecture === 'gptneox') return { ...gptNeoXConfig(metadata), ...common };
  return { ...llamaConfig(header, metadata, architecture), ...common };
}

function llamaConfig(header: GgufHeader, metadata: Metadata, architecture: LlamaLike): JsonObject {
  const key = (name: string) => `${architecture}.${name}`;
  const width = metadata.requireNumber(key('embedding_length'));
  const heads =
    metadata.sameForAllLayers(key('attention.head_count')) ??
    metadata.requireNumber(key('attention.head_count'));
  const headWidth = metadata.number(key('attention.key_length')) ?? width / heads;
  const rotaryWidth = metadata.number(key('rope.dimension_count')) ?? headWidth;
  if (rotaryWidth !== headWidth) {
    throw metadata.unsupported(
      `rotary embeddings turn ${rotaryWidth} of ${headWidth} dimensions of each head`,
    );
  }
  const theta = metadata.float32(key('rope.freq_base')) ?? 10000;
  const mistral = architecture === 'llama' && metadata.number(key('attention.sliding_window')) !== undefined;
  const family = mistral ? MISTRAL : LLAMA_FAMILIES[architecture];
  const scaling = ropeScaling(header, metadata, architecture, headWidth, theta);
  return {
    architectures: [family.className],
    model_type: family.modelType,
    hidden_size: width,
    intermediate_size: metadata.requireNumber(key('feed_forward_length')),
    num_hidden_layers: metadata.requireNumber(key('block_count')),
    num_attention_heads: heads,
    num_key_value_heads: metadata.sameForAllLayers(key('attention.head_count_kv')) ?? heads,
    head_dim: headWidth,
    max_position_embeddings: metadata.requireNumber(key('context_length')),
    rms_norm_eps: metadata.float32(key('attention.layer_norm_rms_epsilon')) ?? 1e-5,
    ...(architecture === 'gemma3' ? {} : { rope_theta: theta, rope_scaling: scaling, hidden_act: 'silu' }),
    ...ownFields(header, metadata, mistral ? 'mistral' : architecture, {
      width,
      heads,
      headWidth,
      theta,
      scaling,
    }),
  };
}

/** What the architectures of Llama's layer read alike. */
interface LlamaShape {
  readonly width: number;
  readonly heads: number;
  readonly headWidth: number;
  readonly theta: number;
  readonly scaling: JsonObject | null;
}

/** What only one architecture's config.json says. */
function ownFields(
  header: GgufHeader,
  metadata: Metadata,
  architecture: LlamaLike | 'mistral',
  model: LlamaShape,
): JsonObject {
  const biases = {
    attention_bias: header.tensors.has('blk.0.attn_q.bias'),
    mlp_bias: header.tensors.has('blk.0.ffn_up.bias'),
  };
  switch (architecture) {
    case 'llama':
      return biases;
    case 'mistral':
      return { sliding_window: metadata.requireNumber('llama.attention.sliding_window') };
    case 'qwen2':
    case 'qwen3':
      return { use_sliding_window: false };
    case 'smollm3':
      return { ...biases, no_rope_layer_interval: 4, use_sliding_window: false };
    case 'olmo2':
      if (metadata.number('olmo2.attention.sliding_window') !== undefined)
        throw metadata.unsupported('a sliding window, as OLMo 3 has');
      return {};
    case 'granite': {
      const scale = (name: string, usual: number) => metadata.float32(`granite.${name}`) ?? usual;
      return {
        ...biases,
        attention_multiplier: scale('attention.scale', model.headWidth ** -0.5),
        embedding_multiplier: scale('embedding_scale', 1),
        residual_multiplier: scale('residual_scale', 1),
        logits_scaling: scale('logit_scale', 1),
      };
    }
    case 'gemma3':
      return gemma3Fields(metadata, model);
    default:
      return architecture satisfies never;
  }
}

/** llama.cpp knows by its 62 layers that the largest Gemma 3 scales attention by the width of its stream. */
const GEMMA3_27B_LAYERS = 62;

/** What llama.cpp divides q·k by the root of. */
export function gemma3AttentionScalar(model: {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly headWidth: number;
}): number {
  return model.layers === GEMMA3_27B_LAYERS ? model.width / model.heads : model.headWidth;
}

function gemma3Fields(metadata: Metadata, model: LlamaShape): JsonObject {
  const layers = metadata.requireNumber('gemma3.block_count');
  return {
    hidden_activation: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: gemma3AttentionScalar({ ...model, layers }),
    sliding_window: metadata.requireNumber('gemma3.attention.sliding_window'),
    ...windowedLayers(metadata, 'gemma3.attention.sliding_window_pattern'),
    rope_theta: model.theta,
    rope_scaling: model.scaling,
    rope_local_base_freq: metadata.float32('gemma3.rope.freq_base_swa') ?? 10_000,
  };
}

const MISTRAL = { className: 'MistralForCausalLM', modelType: 'mistral' };
const LLAMA_FAMILIES = {
  llama: { className: 'LlamaForCausalLM', modelType: 'llama' },
  qwen2: { className: 'Qwen2ForCausalLM', modelType: 'qwen2' },
  qwen3: { className: 'Qwen3ForCausalLM', modelType: 'qwen3' },
  smollm3: { className: 'SmolLM3ForCausalLM', modelType: 'smollm3' },
  olmo2: { className: 'Olmo2ForCausalLM', modelType: 'olmo2' },
  granite: { className: 'GraniteForCausalLM', modelType: 'granite' },
  gemma3: { className: 'Gemma3ForCausalLM', modelType: 'gemma3_text' },
} as const satisfies Record<LlamaLike, { className: string; modelType: string }>;

/** Every how many layers one sees everything, or for each layer whether it sees a window. */
function windowedLayers(metadata: Metadata, key: string): JsonObject {
  if (!metadata.isList(key)) return { sliding_window_pattern: metadata.number(key) ?? 6 };
  const types = metadata.flags(key)!.map((windowed) => (windowed ? 'sliding_attention' : 'full_attention'));
  return { layer_types: types };
}

function gpt2Config(metadata: Metadata): JsonObject {
  const width = metadata.requireNumber('gpt2.embedding_length');
  const inner = metadata.number('gpt2.feed_forward_length');
  const context = metadata.requireNumber('gpt2.context_length');
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_embd: width,
    n_layer: metadata.requireNumber('gpt2.block_count'),
    n_head: metadata.requireNumber('gpt2.attention.head_count'),
    n_inner: inner === undefined || inner === 4 * width ? null : inner,
    n_positions: context,
    n_ctx: context,
    layer_norm_epsilon: metadata.float32('gpt2.attention.layer_norm_epsilon') ?? 1e-5,
    activation_function: 'gelu_new',
  };
}

function gptNeoXConfig(metadata: Metadata): JsonObject {
  const width = metadata.requireNumber('gptneox.embedding_length');
  const heads = metadata.requireNumber('gptneox.attention.head_count');
  return {
    architectures: ['GPTNeoXForCausalLM'],
    model_type: 'gpt_neox',
    hidden_size: width,
    intermediate_size: metadata.requireNumber('gptneox.feed_forward_length'),
    num_hidden_layers: metadata.requireNumber('gptneox.block_count'),
    num_attention_heads: heads,
    max_position_embeddings: metadata.requireNumber('gptneox.context_length'),
    layer_norm_eps: metadata.float32('gptneox.attention.layer_norm_epsilon') ?? 1e-5,
    rotary_pct: metadata.requireNumber('gptneox.rope.dimension_count') / (width / heads),
    rotary_emb_base: metadata.float32('gptneox.rope.freq_base') ?? 10000,
    use_parallel_residual: metadata.flag('gptneox.use_parallel_residual') ?? true,
    hidden_act: 'gelu',
    attention_bias: true,
  };
}

function ropeScaling(
  header: GgufHeader,
  metadata: Metadata,
  architecture: string,
  headWidth: number,
  theta: number,
): JsonObject | null {
  const type = metadata.text(`${architecture}.rope.scaling.type`) ?? 'none';
  const factor =
    metadata.float32(`${architecture}.rope.scaling.factor`) ??
    metadata.float32(`${architecture}.rope.scale_linear`);
  const frequencies = header.tensors.get('rope_freqs.weight');
  if (frequencies !== undefined) {
    const factors = dequantize(frequencies.type, readGgufBytes(header, frequencies), 'rope_freqs.weight');
    const scaling = recogniseLlama3Scaling(factors, headWidth, theta);
    if (scaling === undefined)
      throw metadata.unsupported('rope_freqs.weight holds factors that no released model has');
    return { rope_type: 'llama3', ...scaling };
  }
  if (type === 'none' || factor === undefined || factor === 1) {
    if (type === 'none' || type === 'linear') return null;
  }
  if (type === 'linear' && factor !== undefined) return { rope_type: 'linear', factor };
  throw metadata.unsupported(`RoPE scaling of the type ${type}`);
}

/** Metadata that changes the arithmetic in ways that the supported families do not have. */
function refuseUnsupported(header: GgufHeader, metadata: Metadata, architecture: string): void {
  const neutral: Record<string, number> = {
    expert_count: 0,
    logit_scale: 1,
    residual_scale: 1,
    embedding_scale: 1,
    attn_logit_softcapping: 0,
    final_logit_softcapping: 0,
    'attention.scale': 0,
    'attention.clamp_kqv': 0,
    'attention.max_alibi_bias': 0,
  };
  for (const [name, value] of Object.entries(neutral)) {
    if (architecture === 'granite' && name.endsWith('scale')) continue;
    const stated = metadata.number(`${architecture}.${name}`) ?? value;
    if (stated !== value) throw metadata.unsupported(`${architecture}.${name} is ${stated}`);
  }
  const keyWidth = metadata.number(`${architecture}.attention.key_length`);
  const valueWidth = metadata.number(`${architecture}.attention.value_length`);
  if (keyWidth !== valueWidth)
    throw metadata.unsupported(`keys are ${keyWidth} wide and values ${valueWidth}`);
  if ((metadata.number('split.count') ?? 1) > 1) {
    throw metadata.unsupported(`the model is split into ${metadata.number('split.count')} files`);
  }
  if (header.tensors.has('rope_factors_long.weight'))
    throw metadata.unsupported('RoPE scaling of the type longrope');
}

function specialIds(metadata: Metadata): JsonObject {
  const ids: Record<string, number> = {};
  const keys = {
    bos_token_id: 'bos_token_id',
    eos_token_id: 'eos_token_id',
    pad_token_id: 'padding_token_id',
  };
  for (const [name, key] of Object.entries(keys)) {
    const id = metadata.number(`tokenizer.ggml.${key}`);
    if (id !== undefined) ids[name] = id;
  }
  return ids;
}

/** Tied when there is no output matrix, or when it is a copy of the embedding (as older converters wrote it). */
function isTied(header: GgufHeader): boolean {
  const output = header.tensors.get('output.weight');
  if (output === undefined) return true;
  const embedding = header.tensors.get('token_embd.weight')!;
  if (output.type !== embedding.type || output.bytes !== embedding.bytes) return false;
  return Buffer.compare(readGgufBytes(header, output), readGgufBytes(header, embedding)) === 0;
}

function tensorShape(header: GgufHeader, name: string): readonly number[] {
  const tensor = header.tensors.get(name);
  if (tensor !== undefined) return tensor.shape;
  throw new ModelError('gguf-invalid', `${header.path} has no tensor ${name}.`, {
    hint: 'The file holds a vocabulary only, or is one part of several.',
  });
}
