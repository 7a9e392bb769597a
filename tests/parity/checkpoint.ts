import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensorsDirectory } from '../../src/checkpoints/safetensors.ts';
import { readModelConfig, type SupportedConfig, type WeightSource } from '../../src/models/index.ts';

export const MODELS = fileURLToPath(new URL('../fixtures/models/', import.meta.url));

/** A Hugging Face directory without a tokenizer. */
export function readCheckpoint(folder: string): { config: SupportedConfig; weights: WeightSource } {
  const config = readModelConfig(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')));
  return { config, weights: openSafetensorsDirectory(folder) };
}
