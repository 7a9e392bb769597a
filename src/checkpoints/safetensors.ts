import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type DType, type MappedFile, mapFile, type Tensor } from '../engine/index.ts';
import { ModelError } from '../errors.ts';
import { isJsonObject } from '../text/json.ts';
import {
  readSafetensorsHeader,
  type SafetensorsDtype,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from './safetensors-header.ts';
import type { Weights } from './weights.ts';

export const DTYPE_OF_SAFETENSORS: Partial<Record<SafetensorsDtype, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  BOOL: 'bool',
};

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Opens the weights of a Hugging Face directory: model.safetensors, or the shards that its index lists. */
export function openSafetensorsDirectory(directory: string): Weights {
  if (existsSync(join(directory, SINGLE))) return openSafetensors([join(directory, SINGLE)]);
  if (existsSync(join(directory, INDEX))) return openShards(directory);
  const pickled = existsSync(join(directory, 'pytorch_model.bin'));
  const found = pickled ? 'Only pytorch_model.bin, a pickle (which may run code when loaded),' : 'No weights';
  throw new ModelError('weights-missing', `${found} in ${directory}: expected ${SINGLE} or ${INDEX}.`, {
    hint: pickled
      ? 'Save the model as safetensors: model.save_pretrained(…, safe_serialization=True) in transformers.'
      : 'Give the directory that holds config.json and the weights.',
  });
}

/** Opens safetensors files as one set of weights, memory-mapped: tensors share the files' pages until written to. */
export function openSafetensors(paths: readonly string[]): Weights {
  return new MappedWeights(paths.map(readSafetensorsHeader));
}

class MappedWeights implements Weights {
  readonly files: readonly string[];
  readonly #entries = new Map<string, { entry: SafetensorsEntry; path: string }>();
  readonly #mapped = new Map<string, MappedFile>();

  constructor(headers: readonly SafetensorsHeader[]) {
    this.files = headers.map((header) => header.path);
    for (const { path, entries } of headers) {
      for (const entry of entries.values()) {
        const before = this.#entries.get(entry.name);
        if (before !== undefined) {
          throw new ModelError(
            'safetensors-invalid',
            `Tensor ${entry.name} is both in ${before.path} and in ${path}.`,
          );
        }
        this.#entries.set(entry.name, { entry, path });
      }
    }
  }

  names(): Iterable<string> {
    return this.#entries.keys();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#find(name).entry.shape;
  }

  get(name: string): Tensor {
    const { entry, path } = this.#find(name);
    const dtype = DTYPE_OF_SAFETENSORS[entry.dtype];
    if (dtype === undefined) {
      throw new ModelError(
        'dtype-unsupported',
        `${path}: tensor ${name} has the dtype ${entry.dtype}, which is not supported.`,
        {
          hint: `Save the checkpoint in one of ${Object.keys(DTYPE_OF_SAFETENSORS).join(', ')}.`,
        },
      );
    }
    let file = this.#mapped.get(path);
    if (file === undefined) {
      file = mapFile(path);
      this.#mapped.set(path, file);
    }
    return file.tensor(entry.offset, entry.shape, dtype);
  }

  close(): void {
    for (const file of this.#mapped.values()) file.close();
    this.#mapped.clear();
  }

  #find(name: string): { entry: SafetensorsEntry; path: string } {
    const found = this.#entries.get(name);
    if (found !== undefined) return found;
    throw new ModelError('weight-missing', `There is no tensor ${name} in ${this.files.join(', ')}.`);
  }
}

function openShards(directory: string): Weights {
  const index = join(directory, INDEX);
  const weightMap = readWeightMap(index);
  const shards = [...new Set(weightMap.values())];
  for (const shard of shards) {
    if (basename(shard) !== shard)
      throw damaged(index, `it names the file ${shard}, which is not in its own directory`);
    if (!existsSync(join(directory, shard))) {
      throw new ModelError('weights-missing', `${index} lists ${shard}, which is not there.`, {
        hint: 'Download the missing shard.',
      });
    }
  }
  const headers = shards.map((shard) => readSafetensorsHeader(join(directory, shard)));
  for (const [i, { entries }] of headers.entries()) {
    for (const name of entries.keys()) {
      if (weightMap.get(name) !== shards[i])
        throw damaged(index, `${shards[i]} holds ${name}, which it does not list there`);
    }
  }
  for (const [name, shard] of weightMap) {
    if (!headers[shards.indexOf(shard)]!.entries.has(name))
      throw damaged(index, `it lists ${name} in ${shard}, which lacks it`);
  }
  return new MappedWeights(headers);
}

function readWeightMap(index: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(index, 'utf8'));
  } catch (cause) {
    throw damaged(index, `it is not JSON (${(cause as Error).message})`);
  }
  const map = isJsonObject(value) ? value.weight_map : undefined;
  if (!isJsonObject(map) || Object.values(map).some((file) => typeof file !== 'string')) {
    throw damaged(index, 'it has no weight_map from tensors to files');
  }
  return new Map(Object.entries(map) as [string, string][]);
}

function damaged(path: string, problem: string): ModelError {
  return new ModelError('safetensors-invalid', `${path} is damaged: ${problem}.`, {
    hint: 'Download the checkpoint again.',
  });
}
