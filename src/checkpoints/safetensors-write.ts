import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DType, Tensor } from '../engine/index.ts';
import { writeAtomically } from './atomic-file.ts';
import { SAFETENSORS_WIDTHS, type SafetensorsDtype } from './safetensors-header.ts';
import { tensorBytes } from './tensor-bytes.ts';

const SAFETENSORS_OF_DTYPE: Record<DType, SafetensorsDtype> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  bool: 'BOOL',
};

/** Bytes of weights in one shard at most; larger checkpoints get an index. */
const SHARD_BYTES = 5_000_000_000;

/** Written so that `transformers` knows whose tensors these are. */
const METADATA = { format: 'pt' };

/**
 * Writes one safetensors file, laid out as the reference implementation does (wide dtypes first, then by name; header
 * padded so that data is aligned). The file appears under its name only when it is whole and on disk.
 */
export async function writeSafetensors(path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  const entries = [...tensors].map(([name, tensor]) => ({
    name,
    tensor,
    dtype: SAFETENSORS_OF_DTYPE[tensor.dtype],
  }));
  entries.sort(
    (a, b) => SAFETENSORS_WIDTHS[b.dtype] - SAFETENSORS_WIDTHS[a.dtype] || byCodePoint(a.name, b.name),
  );
  const header: Record<string, unknown> = { __metadata__: METADATA };
  let end = 0;
  for (const { name, tensor, dtype } of entries) {
    const begin = end;
    end += byteSize(tensor);
    header[name] = { dtype, shape: tensor.shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  await writeAtomically(path, async (file) => {
    await file.writeFile(length);
    await file.writeFile(padded);
    for (const { tensor } of entries) await file.writeFile(tensorBytes(tensor));
  });
}

/**
 * Writes a checkpoint into a directory: model.safetensors, or shards and their index when it is larger than
 * `shardBytes`. Weight files of an earlier, differently sharded checkpoint are removed last.
 */
export async function writeSafetensorsDirectory(
  directory: string,
  tensors: ReadonlyMap<string, Tensor>,
  shardBytes = SHARD_BYTES,
): Promise<void> {
  const shards = intoShards(tensors, shardBytes);
  const index = join(directory, 'model.safetensors.index.json');
  const single = join(directory, 'model.safetensors');
  if (shards.length <= 1) {
    await writeSafetensors(single, tensors);
    await rm(index, { force: true });
    await removeShards(directory, new Set());
    return;
  }
  const weightMap: Record<string, string> = {};
  let totalSize = 0;
  for (const [i, shard] of shards.entries()) {
    const part = (number: number) => String(number).padStart(5, '0');
    const name = `model-${part(i + 1)}-of-${part(shards.length)}.safetensors`;
    await writeSafetensors(join(directory, name), shard);
    for (const [key, tensor] of shard) {
      weightMap[key] = name;
      totalSize += byteSize(tensor);
    }
  }
  const content = { metadata: { total_size: totalSize }, weight_map: weightMap };
  await writeAtomically(index, (file) => file.writeFile(`${JSON.stringify(content, null, 2)}\n`));
  await rm(single, { force: true });
  await removeShards(directory, new Set(Object.values(weightMap)));
}

async function removeShards(directory: string, keep: ReadonlySet<string>): Promise<void> {
  for (const file of await readdir(directory)) {
    if (/^model-\d{5}-of-\d{5}\.safetensors$/.test(file) && !keep.has(file)) await rm(join(directory, file));
  }
}

function intoShards(tensors: ReadonlyMap<string, Tensor>, limit: number): Map<string, Tensor>[] {
  const shards: Map<string, Tensor>[] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const [name, tensor] of tensors) {
    const bytes = byteSize(tensor);
    if (filled + bytes > limit) {
      shards.push(new Map());
      filled = 0;
    }
    shards.at(-1)!.set(name, tensor);
    filled += bytes;
  }
  return shards;
}

function byteSize(tensor: Tensor): number {
  return tensor.size * SAFETENSORS_WIDTHS[SAFETENSORS_OF_DTYPE[tensor.dtype]];
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
