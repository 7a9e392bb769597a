import { z } from 'zod';
import type { ActivationName } from '../../nn/activations.ts';
import type { RotarySettings } from '../../nn/rotary.ts';
import { commonFields } from './common.ts';
import type { LlamaConfig } from './contract.ts';
import type { ConfigFields } from './fields.ts';
import { readRotary } from './rotary.ts';

/** `model_type` values of Llama's architecture. */
export const LLAMA_TYPES = [
  'llama',
  'mistral',
  'qwen2',
  'qwen3',
  'smollm3',
  'olmo2',
  'granite',
  'gemma3_text',
] as const;
export type LlamaType = (typeof LLAMA_TYPES)[number];

/** What a `model_type` fixes, and what transformers takes for a field that its config.json leaves out. */
interface Dialect {
  readonly positions: number;
  /** Absent: as many as there are query heads. */
  readonly kvHeads?: number;
  /** Absent: the width over the heads. */
  readonly headWidth?: number;
  readonly theta: number;
  readonly epsilon: number;
  readonly tied: boolean;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly activation: { readonly field: string; readonly usual: ActivationName };
  /** Whether config.json says so, or only q, k and v have biases (Qwen2), or nothing has. */
  readonly attentionBias: 'stated' | 'qkv' | 'none';
  readonly mlpBias: 'stated' | 'none';
  readonly blockNorms: LlamaConfig['blockNorms'];
  readonly normStyle: LlamaConfig['normStyle'];
  readonly headNorms: LlamaConfig['headNorms'];
  /** How config.json says which layers see a window. */
  readonly windows: 'none' | 'everywhere' | 'qwen' | 'smollm3' | 'gemma3';
}

const LLAMA: Dialect = {
  positions: 2048,
  theta: 10_000,
  epsilon: 1e-6,
  tied: false,
  bos: 1,
  eos: 2,
  activation: { field: 'hidden_act', usual: 'silu' },
  attentionBias: 'stated',
  mlpBias: 'stated',
  blockNorms: 'inputs',
  normStyle: 'rounded',
  headNorms: 'none',
  windows: 'none',
};
const QWEN2: Dialect = {
  ...LLAMA,
  positions: 32_768,
  kvHeads: 32,
  bos: undefined,
  eos: undefined,
  attentionBias: 'qkv',
  mlpBias: 'none',
  windows: 'qwen',
};
const DIALECTS: Readonly<Record<LlamaType, Dialect>> = {
  llama: LLAMA,
  mistral: {
    ...LLAMA,
    positions: 131_072,
    kvHeads: 8,
    attentionBias: 'none',
    mlpBias: 'none',
    windows: 'everywhere',
  },
  qwen2: QWEN2,
  qwen3: { ...QWEN2, headWidth: 128, attentionBias: 'stated', headNorms: 'each' },
  smollm3: {
    ...LLAMA,
    positions: 32_768,
    kvHeads: 4,
    theta: 2_000_000,
    tied: true,
    bos: 128_000,
    eos: 128_001,
    windows: 'smollm3',
  },
  olmo2: {
    ...LLAMA,
    epsilon: 1e-5,
    bos: undefined,
    eos: 50_279,
    mlpBias: 'none',
    blockNorms: 'outputs',
    normStyle: 'wide',
    headNorms: 'together',
  },
  granite: LLAMA,
  gemma3_text: {
    ...LLAMA,
    positions: 131_072,
    kvHeads: 4,
    headWidth: 256,
    theta: 1_000_000,
    tied: true,
    bos: 2,
    eos: 1,
    activation: { field: 'hidden_activation', usual: 'gelu_pytorch_tanh' },
    mlpBias: 'none',
    blockNorms: 'both',
    normStyle: 'offset',
    headNorms: 'each',
    windows: 'gemma3',
  },
};

export function readLlama(fields: ConfigFields, modelType: LlamaType): LlamaConfig {
  const dialect = DIALECTS[modelType];
  const width = fields.size('hidden_size');
  const heads = fields.size('num_attention_heads');
  const layers = fields.size('num_hidden_layers');
  const maxPositions = fields.size('max_position_embeddings', dialect.positions);
  const kvHeads = fields.size('num_key_value_heads', dialect.kvHeads ?? heads, heads);
  const headWidth = fields.size('head_dim', dialect.headWidth ?? width / heads, width / heads);
  if (kvHeads > 0 && heads % kvHeads !== 0) {
    fields.problem(`num_attention_heads (${heads}) is not a multiple of num_key_value_heads (${kvHeads})`);
  }
  const biased = statedBias(fields, 'attention_bias', dialect.attentionBias);
  return {
    ...commonFields(fields, modelType, dialect),
    family: 'llama',
    width,
    layers,
    heads,
    kvHeads,
    headWidth,
    maxPositions,
    learnedPositions: false,
    intermediateWidth: fields.size('intermediate_size'),
    normEpsilon: fields.number('rms_norm_eps', dialect.epsilon),
    tiedEmbeddings: fields.flag('tie_word_embeddings', dialect.tied),
    activation: fields.activation(dialect.activation.field, dialect.activation.usual),
    biases: {
      qkv: biased || dialect.attentionBias === 'qkv',
      output: biased,
      mlp: statedBias(fields, 'mlp_bias', dialect.mlpBias),
    },
    blockNorms: dialect.blockNorms,
    normStyle: dialect.normStyle,
    headNorms: dialect.headNorms,
    ...readPositions(fields, modelType, { layers, headWidth, maxPositions }),
    ...readScales(fields, modelType, { width, headWidth }),
  };
}

function statedBias(fields: ConfigFields, name: string, rule: Dialect['attentionBias']): boolean {
  if (rule === 'stated') return fields.flag(name, false);
  fields.refuseUnless(name, false, rule === 'qkv');
  return false;
}

type Scales = Pick<
  LlamaConfig,
  'attentionScale' | 'embeddingScale' | 'roundsEmbeddingScale' | 'residualScale' | 'logitDivisor'
>;

/** Factors that Llama does not have; Gemma's embeddings grow with the root of their width. */
function readScales(
  fields: ConfigFields,
  modelType: LlamaType,
  { width, headWidth }: { readonly width: number; readonly headWidth: number },
): Scales {
  const plain = {
    attentionScale: headWidth ** -0.5,
    embeddingScale: 1,
    roundsEmbeddingScale: false,
    residualScale: 1,
    logitDivisor: 1,
  };
  switch (modelType) {
    case 'gemma3_text': {
      const attentionScale = fields.number('query_pre_attn_scalar', 256) ** -0.5;
      return { ...plain, attentionScale, embeddingScale: Math.sqrt(width), roundsEmbeddingScale: true };
    }
    case 'granite':
      return {
        ...plain,
        attentionScale: fields.number('attention_multiplier', 1),
        embeddingScale: fields.number('embedding_multiplier', 1),
        residualScale: fields.number('residual_multiplier', 1),
        logitDivisor: fields.number('logits_scaling', 1),
      };
    default:
      return plain;
  }
}

type Positions = Pick<LlamaConfig, 'layerWindows' | 'rotary' | 'layerRotary'>;

/** What each layer knows of positions: its window, and by which angles it turns queries and keys. */
function readPositions(
  fields: ConfigFields,
  modelType: LlamaType,
  model: { readonly layers: number; readonly headWidth: number; readonly maxPositions: number },
): Positions {
  const { theta, windows } = DIALECTS[modelType];
  const { layers } = model;
  const everywhere = <T>(value: T): T[] => Array<T>(layers).fill(value);
  if (windows === 'gemma3') return gemma3Positions(fields, model, theta);
  const rotary = readRotary(fields, { ...model, theta });
  switch (windows) {
    case 'none':
      fields.refuseUnless('sliding_window', null);
      fields.refuseUnless('use_sliding_window', false);
      refuseMixedTypes(fields, modelType, everywhere(undefined));
      return { rotary, layerRotary: everywhere(rotary), layerWindows: everywhere(undefined) };
    case 'everywhere': {
      const window = statedWindow(fields);
      refuseMixedTypes(fields, modelType, everywhere(window));
      return { rotary, layerRotary: everywhere(rotary), layerWindows: everywhere(window) };
    }
    case 'qwen': {
      const window = fields.flag('use_sliding_window', false) ? statedWindow(fields) : undefined;
      const first = fields.count('max_window_layers', 28);
      const layerWindows = windowedLayers(fields, layers, (layer) => layer >= first);
      return {
        rotary,
        layerRotary: everywhere(rotary),
        layerWindows: layerWindows.map((windowed) => (windowed ? window : undefined)),
      };
    }
    case 'smollm3': {
      const turned = turnedLayers(fields, layers);
      const window = fields.flag('use_sliding_window', false) ? statedWindow(fields, null) : undefined;
      const layerWindows = windowedLayers(fields, layers, (layer) => !turned[layer]!);
      return {
        rotary,
        layerRotary: turned.map((turns) => (turns ? rotary : undefined)),
        layerWindows: layerWindows.map((windowed) => (windowed ? window : undefined)),
      };
    }
    default:
      return windows satisfies never;
  }
}

/** Every sixth layer sees everything, at slow angles; the others a window, at the usual ones. */
function gemma3Positions(
  fields: ConfigFields,
  model: { readonly layers: number; readonly headWidth: number; readonly maxPositions: number },
  theta: number,
): Positions {
  fields.refuseUnless('use_bidirectional_attention', false);
  const window = statedWindow(fields);
  const pattern = fields.size('sliding_window_pattern', 6);
  const windowed = windowedLayers(fields, model.layers, (layer) => (layer + 1) % pattern !== 0);
  const rotary = readRotary(fields, { ...model, theta }, { layerType: 'full_attention' });
  const local = readRotary(
    fields,
    { ...model, theta: 10_000 },
    { layerType: 'sliding_attention', thetaField: 'rope_local_base_freq' },
  );
  const by = <T>(inWindow: T, full: T): T[] => windowed.map((is) => (is ? inWindow : full));
  return {
    rotary,
    layerRotary: by<RotarySettings>(local, rotary),
    layerWindows: by<number | undefined>(window, undefined),
  };
}

/** Undefined for an explicit null. */
function statedWindow(fields: ConfigFields, usual: number | null = 4096): number | undefined {
  const value = fields.raw.sliding_window;
  if (value === null || (value === undefined && usual === null)) return undefined;
  return fields.size('sliding_window', usual ?? undefined);
}

/** Which layers `layer_types` says have a window, or by the rule where it says nothing. */
function windowedLayers(fields: ConfigFields, layers: number, rule: (layer: number) => boolean): boolean[] {
  const types = layerTypes(fields, layers);
  if (types !== undefined) return types.map((type) => type === 'sliding_attention');
  return Array.from({ length: layers }, (_, layer) => rule(layer));
}

/** For architectures whose layers are all alike. */
function refuseMixedTypes(
  fields: ConfigFields,
  modelType: LlamaType,
  windows: readonly (number | undefined)[],
): void {
  const types = layerTypes(fields, windows.length);
  const fits = types?.every(
    (type, layer) => (type === 'sliding_attention') === (windows[layer] !== undefined),
  );
  if (fits === false) {
    fields.problem(
      `layer_types that mix windows are not part of ${modelType}, got ${JSON.stringify(fields.raw.layer_types)}`,
    );
  }
}

function layerTypes(fields: ConfigFields, layers: number) {
  const types = fields.raw.layer_types ?? undefined;
  if (types === undefined) return undefined;
  const parsed = z
    .array(z.enum(['full_attention', 'sliding_attention']))
    .length(layers)
    .safeParse(types);
  if (parsed.success) return parsed.data;
  fields.problem(
    `layer_types must name ${layers} layers as full_attention or sliding_attention, got ${JSON.stringify(types)}`,
  );
  return undefined;
}

/** SmolLM3's `no_rope_layers` holds 1 for a layer that does turn queries and keys. */
function turnedLayers(fields: ConfigFields, layers: number): boolean[] {
  const interval = fields.size('no_rope_layer_interval', 4);
  const byRule = Array.from({ length: layers }, (_, layer): 0 | 1 => ((layer + 1) % interval === 0 ? 0 : 1));
  const flags = z.array(z.union([z.literal(0), z.literal(1)])).min(layers);
  return fields
    .value('no_rope_layers', flags, `a list of 0 or 1 for each of ${layers} layers`, byRule)
    .slice(0, layers)
    .map((flag) => flag === 1);
}
