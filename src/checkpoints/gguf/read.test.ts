import { mkdtempSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { GgufField } from './format.ts';
import { shortestFloat32 } from './metadata.ts';
import { readGgufBytes, readGgufHeader } from './read.ts';
import { writeGguf } from './write.ts';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, readSync: vi.fn(fs.readSync) };
});

const STORIES = fileURLToPath(
  new URL('../../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const directory = mkdtempSync(join(tmpdir(), 'mallows-gguf-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** The stories file with some bytes changed or cut off. */
function damaged(change: (bytes: Buffer) => Buffer | undefined): string {
  const bytes = readFileSync(STORIES);
  const path = join(directory, 'damaged.gguf');
  writeFileSync(path, change(bytes) ?? bytes);
  return path;
}

describe('readGgufHeader', () => {
  it('reads metadata and tensors of a file by another tool', () => {
    const { version, metadata, tensors } = readGgufHeader(STORIES);
    expect(version).toBe(3);
    expect(metadata.get('llama.embedding_length')).toBe(64);
    expect((metadata.get('tokenizer.ggml.tokens') as string[])[403]).toBe('\u2581Once');
    expect(tensors.get('blk.0.attn_k.weight')).toMatchObject({ shape: [32, 64], type: 'F32', bytes: 8192 });
  });

  it('refuses what is not GGUF, another version, and big-endian files', () => {
    expect(() => readGgufHeader(damaged((bytes) => Buffer.concat([Buffer.from('PK'), bytes])))).toThrowError(
      /"GGUF"/,
    );
    expect(() => readGgufHeader(damaged(() => Buffer.from('GGUF')))).toThrowError(/"GGUF"/);
    const versioned = (version: number) => damaged((bytes) => void bytes.writeUInt32LE(version, 4));
    expect(() => readGgufHeader(versioned(1))).toThrowError(/version is 1/);
    expect(() => readGgufHeader(versioned(0x03000000))).toThrowError(/big-endian/);
  });

  it('names the tensor that is cut off', () => {
    const cut = damaged((bytes) => bytes.subarray(0, bytes.length - 40));
    expect(() => readGgufHeader(cut)).toThrowError(/tensor [\w.]+ ends at byte \d+ of \d+: it is cut off/);
  });

  it('survives any single damaged length without reading outside the file', () => {
    for (let at = 8; at < 400; at += 7) {
      const path = damaged((bytes) => void bytes.fill(0xff, at, at + 8));
      try {
        readGgufHeader(path);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^gguf-(invalid|unsupported)$/) });
      }
    }
  });
});

describe('readGgufBytes', () => {
  it('reads tensors of 2 GiB and more, though Node reads less at a time', () => {
    const tensor = {
      name: 'large',
      shape: [2 ** 29 + 2],
      type: 'F32',
      offset: 64,
      bytes: 2 ** 31 + 8,
    } as const;
    const reads: { offset: number; length: number; position: number }[] = [];
    vi.mocked(readSync).mockImplementation(((
      _: number,
      __: unknown,
      offset: number,
      length: number,
      position: number,
    ) => {
      // As Node takes the length; nothing is read, so that no memory is touched.
      const taken = length | 0;
      if (taken < 0) throw new RangeError(`length is ${taken}`);
      reads.push({ offset, length: taken, position });
      return taken;
    }) as typeof readSync);
    try {
      const header = { path: STORIES, version: 3, metadata: new Map(), tensors: new Map() };
      expect(readGgufBytes(header, tensor)).toHaveLength(tensor.bytes);
    } finally {
      vi.mocked(readSync).mockReset();
    }
    expect(reads.reduce((sum, { length }) => sum + length, 0)).toBe(tensor.bytes);
    for (const { offset, position } of reads) expect(position).toBe(tensor.offset + offset);
  });
});

describe('writeGguf', () => {
  const fields: GgufField[] = [
    { key: 'a.u8', type: 'uint8', value: 200 },
    { key: 'a.i8', type: 'int8', value: -100 },
    { key: 'a.u16', type: 'uint16', value: 60000 },
    { key: 'a.i16', type: 'int16', value: -30000 },
    { key: 'a.u32', type: 'uint32', value: 4e9 },
    { key: 'a.i32', type: 'int32', value: -2e9 },
    { key: 'a.f32', type: 'float32', value: 0.5 },
    { key: 'a.bool', type: 'bool', value: true },
    { key: 'a.text', type: 'string', value: 'żółw\n' },
    { key: 'a.u64', type: 'uint64', value: 2n ** 63n },
    { key: 'a.i64', type: 'int64', value: -(2 ** 40) },
    { key: 'a.f64', type: 'float64', value: Math.PI },
    { key: 'a.texts', type: 'array', items: 'string', value: ['x', '', 'ü'] },
    { key: 'a.numbers', type: 'array', items: 'float32', value: [1, -0.25] },
    { key: 'a.flags', type: 'array', items: 'bool', value: [true, false] },
  ];

  it('writes what the reader reads, every type', async () => {
    const path = join(directory, 'types.gguf');
    const bytes = Uint8Array.from({ length: 24 }, (_, i) => i);
    await writeGguf(path, fields, [
      { name: 'one', shape: [2, 3], type: 'F32', bytes: () => bytes },
      { name: 'two', shape: [5], type: 'F16', bytes: () => bytes.subarray(0, 10) },
    ]);
    const header = readGgufHeader(path);
    expect([...header.metadata]).toEqual(fields.map(({ key, value }) => [key, value]));
    expect(readGgufBytes(header, header.tensors.get('one')!)).toEqual(bytes);
    expect(readGgufBytes(header, header.tensors.get('two')!)).toEqual(bytes.slice(0, 10));
    expect(header.tensors.get('two')!.offset % 32).toBe(0);
  });

  it('leaves the old file when writing fails', async () => {
    const path = join(directory, 'kept.gguf');
    await writeGguf(path, fields, []);
    const before = readFileSync(path);
    const broken = { name: 'x', shape: [4], type: 'F32', bytes: () => new Uint8Array(3) } as const;
    await expect(writeGguf(path, fields, [broken])).rejects.toThrowError(/x has 3 bytes, expected 16/);
    expect(readFileSync(path)).toEqual(before);
  });
});

describe('shortestFloat32', () => {
  it('finds the decimal that was meant', () => {
    expect(shortestFloat32(Math.fround(1e-5))).toBe(1e-5);
    expect(shortestFloat32(Math.fround(1e-6))).toBe(1e-6);
    expect(shortestFloat32(500000)).toBe(500000);
    expect(shortestFloat32(Math.fround(1 / 3))).toBeCloseTo(1 / 3, 7);
  });
});
