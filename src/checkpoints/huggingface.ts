import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DType, Tensor } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import type { JsonObject } from '../text/json.ts';
import { Tokenizer, type TokenizerFiles } from '../text/tokenizer.ts';
import { readTokenizerFiles, withModelTokens, writeTokenizerFiles } from '../text/tokenizer-files.ts';
import { writeAtomically } from './atomic-file.ts';
import { readJsonObject, writeJson } from './files.ts';
import { requireAllFinite } from './finite.ts';
import { type ModelCard, renderModelCard } from './model-card.ts';
import { openSafetensorsDirectory } from './safetensors.ts';
import { writeSafetensorsDirectory } from './safetensors-write.ts';
import type { Weights } from './weights.ts';

/** A checkpoint that is open for reading; nothing of it is in memory but its description. */
export interface OpenCheckpoint {
  /** config.json */
  readonly config: JsonObject;
  /** generation_config.json, `{}` when there is none. */
  readonly generationConfig: JsonObject;
  readonly tokenizer: Tokenizer;
  readonly weights: Weights;
}

/** Opens a directory in the Hugging Face layout. */
export async function openDirectory(directory: string): Promise<OpenCheckpoint> {
  const config = readJsonObject(join(directory, 'config.json'));
  if (config === undefined) {
    throw new ModelError('config-missing', `${directory} has no config.json, so it is not a model.`, {
      hint: 'Give a directory that save_pretrained of transformers wrote, a .gguf file, or a hub id.',
    });
  }
  return {
    config,
    generationConfig: readJsonObject(join(directory, 'generation_config.json')) ?? {},
    tokenizer: new Tokenizer(withModelTokens(await readTokenizerFiles(directory), config)),
    weights: openSafetensorsDirectory(directory),
  };
}

export interface CheckpointToSave {
  /** config.json as it was read; its dtype is brought up to date. */
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
  readonly tokenizer: TokenizerFiles;
  /** Weights by Hugging Face name, tied ones once. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly card: ModelCard;
}

/**
 * Saves a directory that `transformers` loads unchanged. Weights come last: a directory that has them is whole. Throws
 * `weights-not-finite`, before anything is written, for weights with infinities or NaN.
 */
export async function saveDirectory(directory: string, checkpoint: CheckpointToSave): Promise<void> {
  requireAllFinite(checkpoint.tensors);
  await mkdir(directory, { recursive: true });
  const dtype = [...checkpoint.tensors.values()][0]?.dtype ?? 'float32';
  await writeJson(join(directory, 'config.json'), withDtype(checkpoint.config, dtype));
  const generation = checkpoint.generationConfig ?? {};
  if (Object.keys(generation).length > 0)
    await writeJson(join(directory, 'generation_config.json'), generation);
  await writeTokenizerFiles(directory, checkpoint.tokenizer);
  await writeAtomically(join(directory, 'README.md'), (file) =>
    file.writeFile(renderModelCard(checkpoint.card)),
  );
  await writeSafetensorsDirectory(directory, checkpoint.tensors);
}

/** `dtype` is what transformers 5 writes, `torch_dtype` what 4 reads; whichever was there stays the one. */
function withDtype(config: JsonObject, dtype: DType): JsonObject {
  return 'dtype' in config ? { ...config, dtype } : { ...config, torch_dtype: dtype };
}

/** The paths of a hub repository that loading a model needs. */
export function selectModelFiles(paths: readonly string[]): string[] {
  const single = paths.includes('model.safetensors') || paths.includes('adapter_model.safetensors');
  const weights = single
    ? /^(adapter_)?model\.safetensors$/
    : /^model(-\d{5}-of-\d{5}\.safetensors|\.safetensors\.index\.json)$/;
  return paths.filter((path) => DESCRIPTIONS.has(path) || weights.test(path));
}

const DESCRIPTIONS: ReadonlySet<string> = new Set([
  'README.md',
  'config.json',
  'generation_config.json',
  'adapter_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'vocab.json',
  'merges.txt',
]);

export function isModelDirectory(directory: string): boolean {
  return existsSync(join(directory, 'config.json'));
}
