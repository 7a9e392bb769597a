import type { Tensor } from '../../engine/index.ts';
import { ModelError } from '../../errors.ts';
import { type LlamaConfig, readModelConfig, type SupportedConfig } from '../../models/index.ts';
import type { RotarySettings } from '../../nn/rotary.ts';
import type { JsonObject } from '../../text/json.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { requireFinite } from '../finite.ts';
import { tensorFloats } from '../tensor-bytes.ts';
import { type StoredType, storedType, type WeightType } from '../weight-type.ts';
import { CONFIG_KEY, gemma3AttentionScalar } from './config.ts';
import { FILE_TYPES, type GgufField, TENSOR_TYPES } from './format.ts';
import { relayout } from './layout.ts';
import { type GgufArchitecture, type TensorName, tensorName } from './names.ts';
import { type ExportType, OVERFLOW, quantize } from './quantize.ts';
import { type Llama3Scaling, llama3FrequencyFactors } from './rope.ts';
import { tokenizerFields } from './tokenizer-fields.ts';
import { type GgufTensorToWrite, writeGguf } from './write.ts';

export interface GgufExport {
  /** config.json of the model. */
  readonly config: JsonObject;
  /** Every weight by its Hugging Face name, tied ones once. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly tokenizer: Tokenizer;
  /** Type of the matrices, `q8_0` or `bf16`; norms, biases and position tables are always F32, as llama.cpp expects. */
  readonly type: WeightType;
  /** Model name for `general.name`. */
  readonly name: string;
  /** Told what the file cannot say exactly. */
  readonly notice?: (message: string) => void;
}

const EXPORT_TYPES: Readonly<Record<StoredType, ExportType>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  q8_0: 'Q8_0',
};

/** Writes a model and its tokenizer as a GGUF file that llama.cpp loads. */
export async function exportGguf(path: string, model: GgufExport): Promise<void> {
  const { tensors, tokenizer, notice = () => {} } = model;
  const type = EXPORT_TYPES[storedType(model.type)];
  // What the model computes with, defaults included: rules of the exporter's own would describe another model.
  const config = readModelConfig(model.config);
  const architecture = architectureOf(config);
  checkActivation(architecture, config, notice);
  checkAttention(config);
  const names = [...tensors].map(([name, tensor]) => ({
    ...tensorName(architecture, 'huggingFace', name),
    tensor,
  }));
  const embedding = names.find((entry) => entry.gguf === 'token_embd.weight');
  if (embedding === undefined)
    throw new ModelError('gguf-write', 'The model has no token embedding to export.');
  const rows = embedding.tensor.shape[0]!;
  const fields: GgufField[] = [
    { key: 'general.architecture', type: 'string', value: architecture },
    { key: 'general.type', type: 'string', value: 'model' },
    { key: 'general.name', type: 'string', value: model.name },
    { key: 'general.file_type', type: 'uint32', value: FILE_TYPES[type] },
    { key: 'general.quantization_version', type: 'uint32', value: 2 },
    { key: CONFIG_KEY, type: 'string', value: JSON.stringify(model.config) },
    ...modelFields(architecture, config, rows, notice),
    ...tokenizerFields(tokenizer, rows, config),
  ];
  const written = names.map((entry) => tensorToWrite(entry, type, config, notice));
  // llama.cpp's GPT-NeoX wants an output matrix; the others take the embedding for a missing one.
  if (architecture === 'gptneox' && !names.some((entry) => entry.gguf === 'output.weight')) {
    written.push({ ...tensorToWrite(embedding, type, config), name: 'output.weight' });
  }
  const frequencies = frequencyFactors(config);
  if (frequencies !== undefined) {
    written.push({
      name: 'rope_freqs.weight',
      shape: [frequencies.length],
      type: 'F32',
      bytes: () => quantize('F32', frequencies),
    });
  }
  await writeGguf(path, fields, written);
}

function tensorToWrite(
  { gguf, layout, tensor }: TensorName & { tensor: Tensor },
  wanted: ExportType,
  heads: { readonly heads: number; readonly kvHeads: number },
  notice?: (message: string) => void,
): GgufTensorToWrite {
  const shape = layout === 'transposed' ? [...tensor.shape].reverse() : tensor.shape;
  const matrix = shape.length > 1 && gguf !== 'position_embd.weight';
  const fits = shape.at(-1)! % TENSOR_TYPES[wanted].block === 0;
  const type = !matrix ? 'F32' : fits ? wanted : 'F16';
  if (matrix && !fits)
    notice?.(`${gguf} has rows of ${shape.at(-1)}, not whole blocks of ${wanted}: it is stored as F16.`);
  requireFinite(gguf, tensor, OVERFLOW[type]);
  return {
    name: gguf,
    shape,
    type,
    bytes() {
      const values = tensorFloats(tensor);
      return quantize(
        type,
        layout === undefined ? values : relayout(values, tensor.shape, layout, 'gguf', heads).values,
      );
    },
  };
}

const ARCHITECTURE_OF_MODEL_TYPE: Readonly<Record<string, GgufArchitecture>> = {
  llama: 'llama',
  mistral: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  smollm3: 'smollm3',
  olmo2: 'olmo2',
  granite: 'granite',
  gemma3_text: 'gemma3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

function architectureOf({ modelType }: SupportedConfig): GgufArchitecture {
  const architecture = ARCHITECTURE_OF_MODEL_TYPE[modelType];
  if (architecture !== undefined) return architecture;
  throw new ModelError('gguf-unsupported', `A model of the type ${modelType} cannot be exported to GGUF.`);
}

/** llama.cpp fixes each architecture's activation: SiLU, or GELU by its tanh approximation. */
function checkActivation(
  architecture: GgufArchitecture,
  { activation, family }: SupportedConfig,
  notice: (message: string) => void,
): void {
  const gelu = family !== 'llama' || architecture === 'gemma3';
  if ((gelu ? TANH_GELUS : SILUS).includes(activation)) return;
  if (!gelu || activation !== 'gelu') {
    throw new ModelError('gguf-unsupported', `llama.cpp's ${architecture} has no activation ${activation}.`);
  }
  notice('llama.cpp computes GELU by its tanh approximation: its logits will differ in the third decimal.');
}

const SILUS = ['silu', 'swish'];
const TANH_GELUS = ['gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];

/** What llama.cpp fixes for an architecture and GGUF has no word for. */
function checkAttention(config: SupportedConfig): void {
  const usual = config.headWidth ** -0.5;
  if (config.family === 'gpt2' && config.attentionScales.some((scale) => scale !== usual)) {
    throw attentionUnsupported(
      'llama.cpp scales by 1/√d in every layer, config.json asks for something else (scale_attn_weights, scale_attn_by_inverse_layer_idx)',
    );
  }
  if (config.modelType === 'gemma3_text' && config.family === 'llama') {
    const scalar = gemma3AttentionScalar(config);
    if (config.attentionScale !== scalar ** -0.5)
      throw attentionUnsupported(`llama.cpp takes a query_pre_attn_scalar of ${scalar} for it`);
    if (windowPattern(config) === undefined)
      throw attentionUnsupported('llama.cpp wants every n-th layer to see everything, the others a window');
  }
  if (config.modelType === 'smollm3' && config.family === 'llama') {
    if (config.layerRotary.some((rotary, layer) => (rotary === undefined) !== (layer % 4 === 3)))
      throw attentionUnsupported('llama.cpp leaves positions out in every fourth layer, and in no other');
  }
}

function attentionUnsupported(why: string): ModelError {
  return new ModelError('gguf-unsupported', `This model's attention cannot be exported to GGUF: ${why}.`, {
    hint: 'Export a Hugging Face directory instead.',
  });
}

/** n where every n-th layer sees everything and the others a window; Gemma 3's own 6 where that is all that shows. */
function windowPattern({ layerWindows }: SupportedConfig): number | undefined {
  const candidates = [6, ...layerWindows.map((_, layer) => layer + 1)];
  return candidates.find((n) =>
    layerWindows.every((window, layer) => (window === undefined) === ((layer + 1) % n === 0)),
  );
}

function modelFields(
  architecture: GgufArchitecture,
  config: SupportedConfig,
  rows: number,
  notice: (message: string) => void,
): GgufField[] {
  const whole = (name: string, value: number): GgufField => ({
    key: `${architecture}.${name}`,
    type: 'uint32',
    value,
  });
  const real = (name: string, value: number): GgufField => ({
    key: `${architecture}.${name}`,
    type: 'float32',
    value,
  });
  const common = [
    whole('block_count', config.layers),
    whole('context_length', contextLength(config, notice)),
    whole('embedding_length', config.width),
    whole('feed_forward_length', config.intermediateWidth),
    whole('attention.head_count', config.heads),
  ];
  if (config.family === 'gpt2') return [...common, real('attention.layer_norm_epsilon', config.normEpsilon)];
  const rotary = [
    real('rope.freq_base', config.rotary.theta),
    whole('rope.dimension_count', config.rotary.width),
    ...linearScaling(architecture, config.rotary),
  ];
  if (config.family === 'gpt_neox') {
    return [
      ...common,
      ...rotary,
      real('attention.layer_norm_epsilon', config.normEpsilon),
      { key: 'gptneox.use_parallel_residual', type: 'bool', value: config.parallelResidual },
    ];
  }
  return [
    ...common,
    ...rotary,
    ...ownFields(config, { whole, real }),
    whole('attention.head_count_kv', config.kvHeads),
    whole('attention.key_length', config.headWidth),
    whole('attention.value_length', config.headWidth),
    whole('vocab_size', rows),
    real('attention.layer_norm_rms_epsilon', config.normEpsilon),
  ];
}

type Field = (name: string, value: number) => GgufField;

/** What only one architecture of Llama's layer has. */
function ownFields(config: LlamaConfig, { whole, real }: { whole: Field; real: Field }): GgufField[] {
  if (config.modelType === 'granite') {
    return [
      real('attention.scale', config.attentionScale),
      real('embedding_scale', config.embeddingScale),
      real('residual_scale', config.residualScale),
      real('logit_scale', config.logitDivisor),
    ];
  }
  if (config.modelType !== 'gemma3_text') return [];
  const layer = config.layerWindows.findIndex((window) => window !== undefined);
  return [
    whole('attention.sliding_window', config.layerWindows[layer] ?? config.maxPositions),
    whole('attention.sliding_window_pattern', windowPattern(config)!),
    real('rope.freq_base_swa', (config.layerRotary[layer] ?? config.rotary).theta),
  ];
}

/** llama.cpp's models have no sliding window here but Gemma 3: within the window, and only there, the two agree. */
function contextLength(
  { layerWindows, maxPositions, modelType }: SupportedConfig,
  notice: (message: string) => void,
): number {
  if (modelType === 'gemma3_text') return maxPositions;
  const window = Math.min(...layerWindows.map((layerWindow) => layerWindow ?? maxPositions));
  if (window >= maxPositions) return maxPositions;
  notice(
    `GGUF knows no sliding window for this model: its context length is set to the window, ${window} tokens.`,
  );
  return window;
}

/** Metadata for the scaling that needs no tensor; throws for those that GGUF cannot say. */
function linearScaling(architecture: GgufArchitecture, { scaling }: RotarySettings): GgufField[] {
  // llama.cpp's GPT-NeoX reads no rope_freqs.weight.
  if (scaling.type === 'dynamic' || (scaling.type === 'llama3' && architecture === 'gptneox')) {
    throw new ModelError(
      'gguf-unsupported',
      `RoPE scaling of the type ${scaling.type} cannot be exported to GGUF for ${architecture}.`,
    );
  }
  if (scaling.type !== 'linear') return [];
  return [
    { key: `${architecture}.rope.scaling.type`, type: 'string', value: 'linear' },
    { key: `${architecture}.rope.scaling.factor`, type: 'float32', value: scaling.factor },
  ];
}

function frequencyFactors(config: SupportedConfig): Float32Array | undefined {
  if (config.family === 'gpt2' || config.rotary.scaling.type !== 'llama3') return undefined;
  const { theta, width, scaling } = config.rotary;
  const stated: Llama3Scaling = {
    factor: scaling.factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalMaxPositions,
  };
  return llama3FrequencyFactors(stated, width, theta);
}
