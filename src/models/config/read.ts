import { z } from 'zod';
import { ModelError } from '../../errors.ts';
import type { SupportedConfig } from './contract.ts';
import { ConfigFields, isRecord } from './fields.ts';
import { readGpt2, readGptNeoX } from './gpt.ts';
import { LLAMA_TYPES, type LlamaType, readLlama } from './llama.ts';

/** `model_type` values that `readModelConfig` understands. */
export const SUPPORTED_MODEL_TYPES = [...LLAMA_TYPES, 'gpt2', 'gpt_neox'] as const;
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
  const eos = [...tokenIds(fields, raw), ...tokenIds(fields, generation)];
  const config = readByType(fields, modelType);
  refuseForeignOptions(fields);
  fields.throwIfAny(modelType);
  return { ...config, eosTokenIds: [...new Set(eos.length > 0 ? eos : config.eosTokenIds)] };
}

function readByType(fields: ConfigFields, modelType: ModelType): SupportedConfig {
  switch (modelType) {
    case 'gpt2':
      return readGpt2(fields, modelType);
    case 'gpt_neox':
      return readGptNeoX(fields, modelType);
    default:
      return readLlama(fields, modelType satisfies LlamaType);
  }
}

function isSupportedType(value: string | undefined): value is ModelType {
  return (SUPPORTED_MODEL_TYPES as readonly (string | undefined)[]).includes(value);
}

function tokenIds(fields: ConfigFields, source: Readonly<Record<string, unknown>>): number[] {
  const value = source.eos_token_id;
  if (value === undefined || value === null) return [];
  const ids = z.union([z.int().transform((id) => [id]), z.array(z.int())]).safeParse(value);
  if (ids.success) return ids.data;
  fields.problem(`eos_token_id must be a token id or a list of them, got ${JSON.stringify(value)}`);
  return [];
}

/** Options that would change the arithmetic and that this architecture's reader had no use for. */
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
    if (fields.wasRead(name)) continue;
    if (value !== undefined && value !== null && !allowed.includes(value)) {
      fields.problem(`${name} = ${JSON.stringify(value)} is not supported`);
    }
  }
}
