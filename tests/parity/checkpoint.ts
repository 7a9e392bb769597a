import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DType, mapFile } from '../../src/engine/index.ts';
import { readModelConfig, type SupportedConfig } from '../../src/models/config.ts';
import type { WeightSource } from '../../src/models/parameter-source.ts';

export const MODELS = fileURLToPath(new URL('../fixtures/models/', import.meta.url));

const DTYPES: Record<string, DType> = { F32: 'float32', BF16: 'bfloat16', F16: 'float16', F64: 'float64' };

export function readCheckpoint(folder: string): { config: SupportedConfig; weights: WeightSource } {
  const config = readModelConfig(JSON.parse(readFileSync(`${folder}/config.json`, 'utf8')));
  const file = `${folder}/model.safetensors`;
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength));
  delete header.__metadata__;
  const mapped = mapFile(file);
  return {
    config,
    weights: {
      names: () => Object.keys(header),
      get: (name) =>
        mapped.tensor(
          8 + headerLength + header[name].data_offsets[0],
          header[name].shape,
          DTYPES[header[name].dtype]!,
        ),
    },
  };
}
