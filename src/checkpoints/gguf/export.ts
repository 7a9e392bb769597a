import type { Tensor } from '../../engine/index.ts';
import { ModelError } from '../../errors.ts';
import type { JsonObject } from '../../text/json.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { tensorFloats } from '../tensor-bytes.ts';
import { CONFIG_KEY } from './config.ts';
import { FILE_TYPES, type GgufField, TENSOR_TYPES } from './format.ts';
import { relayout } from './layout.ts';
import { type GgufArchitecture, type TensorName, tensorName } from './names.ts';
import { type ExportType, quantize } from './quantize.ts';
import { type Llama3Scaling, llama3FrequencyFactors } from './rope.ts';
import { tokenizerFields } from './tokenizer-fields.ts';
import { type GgufTensorToWrite, writeGguf } from './write.ts';

export interface GgufExport {
  /** config.json of the model. */
  readonly config: JsonObject;
  /** Every weight by its Hugging Face name, tied ones once. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly tokenizer: Tokenizer;
  /** Type of the matrices; norms, biases and position tables are always F32, as llama.cpp expects. */
  readonly type: ExportType;
  /** Model name for `general.name`. */
  readonly name: string;
  /** Told what the file cannot say exactly. */
  readonly notice?: (message: string) => void;
}

/** Writes a model and its tokenizer as a GGUF file that llama.cpp loads. */
export async function exportGguf(path: string, model: GgufExport): Promise<void> {
  const { config, tensors, type } = model;
  const architecture = architectureOf(config);
  const names = [...tensors].map(([name, tensor]) => ({
    ...tensorName(architecture, 'huggingFace', name),
    tensor,
  }));
  const embedding = names.find((entry) => entry.gguf === 'token_embd.weight');
  if (embedding === undefined)
    throw new ModelError('gguf-write', 'The model has no token embedding to export.');
  const rows = embedding.tensor.shape[0]!;
  const counts = headCounts(config);
  checkActivation(architecture, config, model.notice ?? (() => {}));
  const fields: GgufField[] = [
    { key: 'general.architecture', type: 'string', value: architecture },
    { key: 'general.type', type: 'string', value: 'model' },
    { key: 'general.name', type: 'string', value: model.name },
    { key: 'general.file_type', type: 'uint32', value: FILE_TYPES[type] },
    { key: 'general.quantization_version', type: 'uint32', value: 2 },
    { key: CONFIG_KEY, type: 'string', value: JSON.stringify(config) },
    ...modelFields(architecture, config, rows, model.notice ?? (() => {})),
    ...tokenizerFields(model.tokenizer, rows),
  ];
  const written = names.map((entry) => tensorToWrite(entry, type, counts, model.notice));
  // llama.cpp's GPT-2 and GPT-NeoX want an output matrix; the others take the embedding for a missing one.
  if (architecture === 'gptneox' && !names.some((entry) => entry.gguf === 'output.weight')) {
    written.push({ ...tensorToWrite(embedding, type, counts), name: 'output.weight' });
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
  heads: { heads: number; kvHeads: number },
  notice?: (message: string) => void,
): GgufTensorToWrite {
  const shape = layout === 'transposed' ? [...tensor.shape].reverse() : tensor.shape;
  const matrix = shape.length > 1 && gguf !== 'position_embd.weight';
  const fits = shape.at(-1)! % TENSOR_TYPES[wanted].block === 0;
  const type = !matrix ? 'F32' : fits ? wanted : 'F16';
  if (matrix && !fits)
    notice?.(`${gguf} has rows of ${shape.at(-1)}, not whole blocks of ${wanted}: it is stored as F16.`);
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
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

function architectureOf(config: JsonObject): GgufArchitecture {
  const architecture = ARCHITECTURE_OF_MODEL_TYPE[String(config.model_type)];
  if (architecture !== undefined) return architecture;
  throw new ModelError(
    'gguf-unsupported',
    `A model of the type ${String(config.model_type)} cannot be exported to GGUF.`,
  );
}

/** llama.cpp fixes each architecture's activation: SiLU, or GELU by its tanh approximation. */
function checkActivation(
  architecture: GgufArchitecture,
  config: JsonObject,
  notice: (message: string) => void,
): void {
  const gelu = architecture === 'gpt2' || architecture === 'gptneox';
  const stated = String(config.hidden_act ?? config.activation_function ?? (gelu ? 'gelu_new' : 'silu'));
  if (gelu ? TANH_GELUS.includes(stated) : stated === 'silu') return;
  if (!gelu || stated !== 'gelu') {
    throw new ModelError('gguf-unsupported', `llama.cpp's ${architecture} has no activation ${stated}.`);
  }
  notice('llama.cpp computes GELU by its tanh approximation: its logits will differ in the third decimal.');
}

const TANH_GELUS = ['gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];

function modelFields(
  architecture: GgufArchitecture,
  config: JsonObject,
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
  const { heads, kvHeads } = headCounts(config);
  if (architecture === 'gpt2') {
    const width = numberOf(config, 'n_embd');
    return [
      whole('block_count', numberOf(config, 'n_layer')),
      whole('context_length', numberOf(config, 'n_positions', numberOf(config, 'n_ctx', 1024))),
      whole('embedding_length', width),
      whole('feed_forward_length', numberOf(config, 'n_inner', 4 * width)),
      whole('attention.head_count', heads),
      real('attention.layer_norm_epsilon', numberOf(config, 'layer_norm_epsilon', 1e-5)),
    ];
  }
  const width = numberOf(config, 'hidden_size');
  const headWidth = numberOf(config, 'head_dim', width / heads);
  const common = [
    whole('block_count', numberOf(config, 'num_hidden_layers')),
    whole('context_length', contextLength(config, notice)),
    whole('embedding_length', width),
    whole('feed_forward_length', numberOf(config, 'intermediate_size')),
    whole('attention.head_count', heads),
    real('rope.freq_base', ropeTheta(config)),
  ];
  if (architecture === 'gptneox') {
    return [
      ...common,
      whole('rope.dimension_count', Math.trunc(rotaryShare(config) * headWidth)),
      real('attention.layer_norm_epsilon', numberOf(config, 'layer_norm_eps', 1e-5)),
      { key: 'gptneox.use_parallel_residual', type: 'bool', value: config.use_parallel_residual !== false },
    ];
  }
  return [
    ...common,
    whole('attention.head_count_kv', kvHeads),
    whole('attention.key_length', headWidth),
    whole('attention.value_length', headWidth),
    whole('rope.dimension_count', headWidth),
    whole('vocab_size', rows),
    real('attention.layer_norm_rms_epsilon', numberOf(config, 'rms_norm_eps', 1e-6)),
    ...linearScaling(architecture, config),
  ];
}

/** llama.cpp's models have no sliding window here: within the window, and only there, the two agree. */
function contextLength(config: JsonObject, notice: (message: string) => void): number {
  const positions = numberOf(config, 'max_position_embeddings');
  const window = config.use_sliding_window === false ? undefined : config.sliding_window;
  if (typeof window !== 'number' || window >= positions) return positions;
  notice(
    `GGUF knows no sliding window for this model: its context length is set to the window, ${window} tokens.`,
  );
  return window;
}

function linearScaling(architecture: string, config: JsonObject): GgufField[] {
  const scaling = ropeScaling(config);
  if (scaling === undefined || scaling.type === 'llama3') return [];
  if (scaling.type !== 'linear') {
    throw new ModelError(
      'gguf-unsupported',
      `RoPE scaling of the type ${scaling.type} cannot be exported to GGUF.`,
    );
  }
  return [
    { key: `${architecture}.rope.scaling.type`, type: 'string', value: 'linear' },
    { key: `${architecture}.rope.scaling.factor`, type: 'float32', value: numberOf(scaling.raw, 'factor') },
  ];
}

function frequencyFactors(config: JsonObject): Float32Array | undefined {
  const scaling = ropeScaling(config);
  if (scaling?.type !== 'llama3') return undefined;
  const read: Llama3Scaling = {
    factor: numberOf(scaling.raw, 'factor'),
    low_freq_factor: numberOf(scaling.raw, 'low_freq_factor'),
    high_freq_factor: numberOf(scaling.raw, 'high_freq_factor'),
    original_max_position_embeddings: numberOf(scaling.raw, 'original_max_position_embeddings'),
  };
  const headWidth = numberOf(config, 'head_dim', numberOf(config, 'hidden_size') / headCounts(config).heads);
  return llama3FrequencyFactors(read, headWidth, ropeTheta(config));
}

/** `rope_scaling` (transformers 4) or `rope_parameters` (5), unless it scales nothing. */
function ropeScaling(config: JsonObject): { type: string; raw: JsonObject } | undefined {
  const raw = (config.rope_parameters ?? config.rope_scaling ?? undefined) as JsonObject | undefined;
  const type = raw?.rope_type ?? raw?.type ?? 'default';
  return raw === undefined || type === 'default' ? undefined : { type: String(type), raw };
}

function ropeTheta(config: JsonObject): number {
  const parameters = (config.rope_parameters ?? {}) as JsonObject;
  return numberOf(
    parameters,
    'rope_theta',
    numberOf(config, 'rope_theta', numberOf(config, 'rotary_emb_base', 10000)),
  );
}

function rotaryShare(config: JsonObject): number {
  const parameters = (config.rope_parameters ?? {}) as JsonObject;
  return numberOf(parameters, 'partial_rotary_factor', numberOf(config, 'rotary_pct', 0.25));
}

function headCounts(config: JsonObject): { heads: number; kvHeads: number } {
  const heads = numberOf(config, 'num_attention_heads', numberOf(config, 'n_head', Number.NaN));
  return { heads, kvHeads: numberOf(config, 'num_key_value_heads', heads) };
}

function numberOf(config: JsonObject, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number') return value;
  throw new ModelError(
    'config-invalid',
    `config.json: ${key} should be a number, but is ${JSON.stringify(value)}.`,
  );
}
