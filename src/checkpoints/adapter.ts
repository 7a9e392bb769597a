import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { keep, ops, type Tensor, tidy } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import type { Trunk } from '../models/index.ts';
import { linearsOf } from '../models/linears.ts';
import { type Linear, setLoraAdapter } from '../nn/index.ts';
import type { TokenizerFiles } from '../text/tokenizer.ts';
import { writeTokenizerFiles } from '../text/tokenizer-files.ts';
import { writeAtomically } from './atomic-file.ts';
import { readJsonObject, writeJson } from './files.ts';
import { requireFinite } from './finite.ts';
import { type ModelCard, renderModelCard } from './model-card.ts';
import { baseReference } from './resolve.ts';
import { openSafetensors } from './safetensors.ts';
import { writeSafetensors } from './safetensors-write.ts';
import type { ModelSource } from './source.ts';
import type { Weights } from './weights.ts';

/** PEFT's layout: adapter_config.json and adapter_model.safetensors with names `base_model.model.<linear>.lora_A.weight`. */
const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';

const configSchema = z.object({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().min(1),
  revision: z.string().nullish(),
  r: z.int().positive(),
  lora_alpha: z.number(),
  use_rslora: z.boolean().nullish(),
});

/** Options of PEFT that change what an adapter computes, with the values that do not; any other is refused by name. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  // PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change the base's weights as well, and no file holds those.
  init_lora_weights: [true, false, 'gaussian', 'eva', 'orthogonal', 'mica'],
  use_dora: [false],
  bias: ['none'],
  modules_to_save: [],
  rank_pattern: [],
  alpha_pattern: [],
  lora_bias: [false],
  trainable_token_indices: [],
  layer_replication: [],
  use_qalora: [false],
  use_bdlora: [false],
  target_parameters: [],
  alora_invocation_tokens: [],
  arrow_config: [],
  kasa_config: [],
  monteclora_config: [],
  velora_config: [],
};

export interface AdapterConfig {
  /** How the base model is named: a path or a hub id. */
  readonly baseModel: string;
  /** Branch, tag or commit of a base on the hub. */
  readonly revision: string | undefined;
  readonly rank: number;
  readonly alpha: number;
  readonly rankStabilised: boolean;
}

export function isAdapterDirectory(directory: string): boolean {
  return existsSync(join(directory, CONFIG));
}

/** Reads and checks adapter_config.json. Throws `adapter-unsupported` naming every option that cannot be honoured. */
export function readAdapterConfig(directory: string): AdapterConfig {
  const path = join(directory, CONFIG);
  const raw = readJsonObject(path) ?? {};
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) {
    throw new ModelError(
      'adapter-invalid',
      `${path} is not a LoRA adapter's: ${z.prettifyError(parsed.error)}`,
    );
  }
  const refused = Object.keys(NEUTRAL).filter((key) => !isNeutral(raw[key], NEUTRAL[key]!));
  if (refused.length > 0) {
    throw new ModelError(
      'adapter-unsupported',
      `${path} asks for what is not supported: ${refused.map((key) => `${key} = ${JSON.stringify(raw[key])}`).join(', ')}.`,
      {
        hint: refused.includes('init_lora_weights')
          ? 'Save it as a plain LoRA adapter with PEFT (save_pretrained with path_initial_model_for_weight_conversion), or merge it into its model there.'
          : 'Merge the adapter into its model with PEFT and give the merged model.',
      },
    );
  }
  const {
    base_model_name_or_path: base,
    revision,
    r: rank,
    lora_alpha: alpha,
    use_rslora: rankStabilised,
  } = parsed.data;
  const local = join(directory, base);
  const baseModel = !isAbsolute(base) && base.startsWith('.') && existsSync(local) ? local : base;
  return { baseModel, revision: revision || undefined, rank, alpha, rankStabilised: rankStabilised ?? false };
}

/**
 * Puts a saved adapter on a model, in the model's dtype and on its device. Throws `adapter-mismatch` unless every matrix
 * of the file finds its place; a model that an adapter could not be put on stays as it was.
 */
export function loadAdapter(directory: string, model: Trunk): void {
  const { rank, alpha, rankStabilised } = readAdapterConfig(directory);
  const scale = alpha / (rankStabilised ? Math.sqrt(rank) : rank);
  const weights = openSafetensors([join(directory, WEIGHTS)]);
  try {
    const places = findPlaces(weights, model, rank);
    const take = (name: string) => ops.toDevice(weights.get(name), model.device, model.dtype);
    // All are read before the first is attached: reading may fail, attaching what fits does not.
    const matrices = tidy(() => places.map(({ a, b }) => [take(a), take(b)] as const));
    for (const [index, { linear }] of places.entries()) {
      const [a, b] = matrices[index]!;
      setLoraAdapter(linear, keep(a), keep(b), scale);
    }
  } finally {
    weights.close();
  }
}

/** The linear maps that an adapter's file has matrices for, with their names in the file. */
function findPlaces(
  weights: Weights,
  model: Trunk,
  rank: number,
): { readonly linear: Linear; readonly a: string; readonly b: string }[] {
  const places: { linear: Linear; a: string; b: string }[] = [];
  const unplaced = new Set(weights.names());
  const misshaped: string[] = [];
  for (const linear of linearsOf(model)) {
    const a = `${PREFIX}${linear.name}.lora_A.weight`;
    const b = `${PREFIX}${linear.name}.lora_B.weight`;
    if (!weights.has(a) || !weights.has(b)) continue;
    places.push({ linear, a, b });
    for (const [name, expected] of [
      [a, [rank, linear.inFeatures]],
      [b, [linear.outFeatures, rank]],
    ] as const) {
      unplaced.delete(name);
      const shape = weights.shape(name).join(', ');
      if (shape !== expected.join(', ')) {
        misshaped.push(`${name} is [${shape}], not [${expected.join(', ')}]`);
      }
    }
  }
  const some = (list: Iterable<string>) => [...list].slice(0, 5).join(', ');
  const problems = [
    ...(unplaced.size > 0 ? [`${unplaced.size} matrices have no place there (${some(unplaced)})`] : []),
    ...(misshaped.length > 0 ? [`${misshaped.length} matrices have another shape (${some(misshaped)})`] : []),
    ...(places.length === 0 && unplaced.size === 0 ? ['it holds no matrices'] : []),
  ];
  if (problems.length === 0) return places;
  throw new ModelError(
    'adapter-mismatch',
    `${weights.files.join(', ')} does not fit the base model: ${problems.join('; ')}.`,
    {
      hint: 'Check that adapter_config.json states the rank of the adapter and names the model that it was trained on.',
    },
  );
}

export interface AdapterToSave {
  /** Where the base model came from, so that a reader finds the same weights. */
  readonly base: ModelSource;
  readonly rank: number;
  readonly alpha: number;
  readonly rankStabilised?: boolean;
  readonly taskType?: 'CAUSAL_LM' | 'SEQ_CLS';
  readonly card: ModelCard;
  readonly tokenizer?: TokenizerFiles;
  /** Values to save instead of the model's own, by parameter name: fp32 masters. */
  readonly values?: ReadonlyMap<string, Tensor>;
}

/** Saves a model's adapters as a directory that PEFT loads. Throws `weights-not-finite` for infinities or NaN. */
export async function saveAdapter(directory: string, model: Trunk, adapter: AdapterToSave): Promise<void> {
  const adapted = linearsOf(model).filter((linear) => linear.adapter !== undefined);
  if (adapted.length === 0)
    throw new ModelError('adapter-missing', 'The model carries no LoRA adapter to save.');
  const tensors = new Map<string, Tensor>();
  for (const { adapter: matrices } of adapted) {
    for (const parameter of [matrices!.a, matrices!.b]) {
      tensors.set(`${PREFIX}${parameter.name}`, adapter.values?.get(parameter.name) ?? parameter.value);
    }
  }
  for (const [name, tensor] of tensors) requireFinite(name, tensor);
  const { baseModel, revision = null } = baseReference(adapter.base);
  await mkdir(directory, { recursive: true });
  await writeJson(join(directory, CONFIG), {
    peft_type: 'LORA',
    task_type: adapter.taskType ?? 'CAUSAL_LM',
    base_model_name_or_path: baseModel,
    revision,
    inference_mode: true,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    use_rslora: adapter.rankStabilised ?? false,
    bias: 'none',
    fan_in_fan_out: adapted.some((linear) => linear.layout === 'in-out'),
    target_modules: [...new Set(adapted.map((linear) => targetName(linear.name)))].sort(),
    modules_to_save: null,
  });
  if (adapter.tokenizer !== undefined) await writeTokenizerFiles(directory, adapter.tokenizer);
  const card = renderModelCard({ ...adapter.card, library: 'peft' });
  await writeAtomically(join(directory, 'README.md'), (file) => file.writeFile(card));
  await writeSafetensors(join(directory, WEIGHTS), tensors);
}

/**
 * The part of a linear map's name behind the layer number: `self_attn.q_proj`, `attn.c_proj`. PEFT matches by suffix,
 * and GPT-2 has a `c_proj` in both of its blocks, so the last word alone could reach too far.
 */
function targetName(name: string): string {
  return /\.\d+\.(.+)$/.exec(name)?.[1] ?? name;
}

function isNeutral(value: unknown, neutral: readonly unknown[]): boolean {
  // PEFT takes some names in any case.
  const given = typeof value === 'string' ? value.toLowerCase() : value;
  if (value === undefined || value === null || neutral.includes(given)) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
