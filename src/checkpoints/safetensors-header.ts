import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { z } from 'zod';
import { ModelError } from '../errors.ts';

/**
 * safetensors: eight bytes of header length, a JSON header, then the tensors' bytes without holes.
 * Source: https://github.com/huggingface/safetensors#format
 */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly path: string;
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of an element. */
export const SAFETENSORS_WIDTHS = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;

export type SafetensorsDtype = keyof typeof SAFETENSORS_WIDTHS;

/** The format's own limit. */
const LONGEST_HEADER = 100_000_000;

const wholeNumber = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(wholeNumber),
  data_offsets: z.tuple([wholeNumber, wholeNumber]),
});

/**
 * Reads and checks a file's header: every tensor has a known dtype, its bytes are those of its shape, and together the
 * tensors fill the file without gaps or overlaps. Throws `safetensors-invalid` naming the file and the tensor.
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const { json, dataStart, size } = readHeaderText(path);
  const { __metadata__: metadata = {}, ...tensors } = parseHeader(path, json);
  if (!z.record(z.string(), z.string()).safeParse(metadata).success) {
    throw invalid(path, '__metadata__ is not a map of strings');
  }
  const entries = Object.entries(tensors).map(([name, value]) => readEntry(path, name, value, dataStart));
  refuseHoles(path, entries, dataStart, size);
  return {
    path,
    entries: new Map(entries.map((entry) => [entry.name, entry])),
    metadata: metadata as Record<string, string>,
  };
}

function readHeaderText(path: string): { json: string; dataStart: number; size: number } {
  const file = openSync(path, 'r');
  try {
    const size = fstatSync(file).size;
    const prefix = Buffer.alloc(8);
    if (size < 8 || readSync(file, prefix, 0, 8, 0) < 8) throw invalid(path, `it is only ${size} bytes long`);
    const length = prefix.readBigUInt64LE();
    if (length > LONGEST_HEADER) {
      throw invalid(
        path,
        `its header is said to be ${length} bytes long; the format allows ${LONGEST_HEADER}`,
      );
    }
    const dataStart = 8 + Number(length);
    if (dataStart > size) {
      throw invalid(
        path,
        `its header is said to be ${length} bytes long, but the file has ${size}: it is cut off`,
      );
    }
    const header = Buffer.alloc(Number(length));
    readSync(file, header, 0, header.length, 8);
    return { json: header.toString('utf8'), dataStart, size };
  } finally {
    closeSync(file);
  }
}

function parseHeader(path: string, json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw invalid(path, `its header is not JSON (${(cause as Error).message})`);
  }
  if (!json.startsWith('{') || typeof value !== 'object' || value === null) {
    throw invalid(path, 'its header is not a JSON object');
  }
  return value as Record<string, unknown>;
}

function readEntry(path: string, name: string, value: unknown, dataStart: number): SafetensorsEntry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalid(path, `tensor ${name}: ${issue.path.join('.') || 'its entry'}: ${issue.message}`);
  }
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  if (!(dtype in SAFETENSORS_WIDTHS)) throw invalid(path, `tensor ${name} has the unknown dtype ${dtype}`);
  const width = SAFETENSORS_WIDTHS[dtype as SafetensorsDtype];
  const expected = shape.reduce((product, extent) => product * extent, width);
  const [begin, end] = offsets;
  if (end - begin !== expected) {
    const is = `${dtype} [${shape.join(', ')}]`;
    throw invalid(
      path,
      `tensor ${name} is ${is}, so ${expected} bytes, but its offsets ${begin}–${end} give ${end - begin}`,
    );
  }
  return { name, dtype: dtype as SafetensorsDtype, shape, offset: dataStart + begin, bytes: expected };
}

function refuseHoles(path: string, entries: SafetensorsEntry[], dataStart: number, size: number): void {
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let reached = dataStart;
  for (const { name, offset, bytes } of entries) {
    if (offset !== reached) {
      const problem = offset < reached ? 'overlaps the tensor before it' : 'leaves a gap before it';
      throw invalid(
        path,
        `tensor ${name} ${problem} (it begins at ${offset - dataStart}, not ${reached - dataStart})`,
      );
    }
    reached += bytes;
  }
  if (reached > size) {
    throw invalid(
      path,
      `tensor ${entries.at(-1)!.name} ends at byte ${reached} of ${size}: the file is cut off`,
    );
  }
  if (reached < size) throw invalid(path, `${size - reached} bytes follow its last tensor`);
}

function invalid(path: string, problem: string): ModelError {
  return new ModelError('safetensors-invalid', `${path} is not a usable safetensors file: ${problem}.`, {
    hint: 'Download or save the checkpoint again.',
  });
}
