import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type DType, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import { openSafetensors, openSafetensorsDirectory } from './safetensors.ts';
import { readSafetensorsHeader } from './safetensors-header.ts';
import { writeSafetensors, writeSafetensorsDirectory } from './safetensors-write.ts';

const MODELS = fileURLToPath(new URL('../../tests/fixtures/models/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'mallows-safetensors-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A file with this header and that much data. */
function fileWith(header: unknown, dataBytes: number, length?: bigint): string {
  const json = typeof header === 'string' ? header : JSON.stringify(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(Buffer.byteLength(json)));
  const path = join(directory, 'crafted.safetensors');
  writeFileSync(path, Buffer.concat([prefix, Buffer.from(json), Buffer.alloc(dataBytes)]));
  return path;
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

describe('readSafetensorsHeader', () => {
  it.each([
    ['an empty file', '', 0, undefined, /header is not JSON/],
    ['a header beyond the format', '{}', 0, 200_000_000n, /200000000 bytes long; the format allows/],
    ['a header beyond the file', '{}', 0, 5000n, /header is said to be 5000 bytes long.*cut off/],
    ['no JSON', '{"a":', 0, undefined, /header is not JSON/],
    ['a list', '[]', 0, undefined, /not a JSON object/],
    [
      'an unknown dtype',
      { a: { ...entry(0, 4), dtype: 'F3' } },
      4,
      undefined,
      /tensor a has the unknown dtype F3/,
    ],
    [
      'a shape that is not its bytes',
      { a: entry(0, 8, [3]) },
      8,
      undefined,
      /tensor a is F32 \[3\], so 12 bytes/,
    ],
    ['a negative extent', { a: entry(0, 4, [-1]) }, 4, undefined, /tensor a: shape/],
    ['offsets backwards', { a: { ...entry(0, 4), data_offsets: [4, 0] } }, 4, undefined, /offsets 4–0/],
    ['a missing field', { a: { dtype: 'F32', shape: [] } }, 4, undefined, /tensor a: data_offsets/],
    [
      'an overlap',
      { a: entry(0, 8), b: entry(4, 12) },
      12,
      undefined,
      /tensor b overlaps the tensor before it/,
    ],
    ['a hole', { a: entry(0, 4), b: entry(8, 12) }, 12, undefined, /tensor b leaves a gap/],
    ['bytes that are missing', { a: entry(0, 8) }, 4, undefined, /tensor a ends at byte \d+ of \d+/],
    ['bytes that nobody owns', { a: entry(0, 4) }, 9, undefined, /5 bytes follow its last tensor/],
    ['metadata of numbers', { __metadata__: { a: 1 } }, 0, undefined, /__metadata__ is not a map of strings/],
  ])('refuses %s', (_, header, bytes, length, message) => {
    const path = fileWith(header, bytes, length);
    expect(() => readSafetensorsHeader(path)).toThrowError(message);
    expect(() => readSafetensorsHeader(path)).toThrowError(
      expect.objectContaining({ code: 'safetensors-invalid', message: expect.stringContaining(path) }),
    );
  });

  it('reads empty tensors and scalars', () => {
    const path = fileWith({ none: entry(0, 0, [0, 3]), one: entry(0, 4, []) }, 4);
    expect([...readSafetensorsHeader(path).entries.values()].map((e) => [e.name, e.bytes])).toEqual([
      ['none', 0],
      ['one', 4],
    ]);
  });

  it('never fails in another way, whatever the header says', () => {
    const number = fc.oneof(fc.integer({ min: -2, max: 30 }), fc.double(), fc.constant(2 ** 53));
    const anyEntry = fc.record({
      dtype: fc.constantFrom('F32', 'BF16', 'X'),
      shape: fc.array(number, { maxLength: 3 }),
      data_offsets: fc.array(number, { minLength: 1, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), anyEntry, { maxKeys: 3 }), (header) => {
        try {
          readSafetensorsHeader(fileWith(header, 24));
        } catch (error) {
          expect(error).toMatchObject({ code: 'safetensors-invalid' });
        }
      }),
    );
  });
});

describe('writing', () => {
  const byTransformers = readdirSync(MODELS).filter((name) => name !== 'stories260K');

  it.each(byTransformers)('%s gives the very bytes that transformers wrote', async (name) => {
    const original = join(MODELS, name, 'model.safetensors');
    const weights = openSafetensors([original]);
    const path = join(directory, `${name}.safetensors`);
    await writeSafetensors(
      path,
      new Map([...weights.names()].reverse().map((key) => [key, weights.get(key)])),
    );
    expect(readFileSync(path).equals(readFileSync(original))).toBe(true);
  });

  it.each(['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'bool'] satisfies DType[])(
    'keeps %s exactly',
    async (dtype) => {
      const values = tensor([1, 0, 1, 1, 0, 1], { dtype, shape: [2, 3] });
      const path = join(directory, `${dtype}.safetensors`);
      await writeSafetensors(path, new Map([['x', values]]));
      const weights = openSafetensors([path]);
      expect(weights.get('x').dtype).toBe(dtype);
      expect(tidy(() => ops.equal(weights.get('x'), values))).toBe(true);
      values.dispose();
    },
  );

  it('shards, and reads shards back; a smaller checkpoint replaces a larger one', async () => {
    const folder = join(directory, 'sharded');
    mkdirSync(folder);
    const tensors = new Map(
      ['a', 'b', 'c', 'd', 'e'].map((name, i) => [name, tensor([i, i, i, i])] as [string, Tensor]),
    );
    await writeSafetensorsDirectory(folder, tensors, 40);
    expect(readdirSync(folder).sort()).toEqual([
      'model-00001-of-00003.safetensors',
      'model-00002-of-00003.safetensors',
      'model-00003-of-00003.safetensors',
      'model.safetensors.index.json',
    ]);
    const weights = openSafetensorsDirectory(folder);
    expect([...weights.names()].sort()).toEqual([...tensors.keys()]);
    for (const [name, value] of tensors) expect(tidy(() => ops.equal(weights.get(name), value))).toBe(true);

    await writeSafetensorsDirectory(folder, tensors);
    expect(readdirSync(folder)).toEqual(['model.safetensors']);
  });
});

describe('openSafetensorsDirectory', () => {
  const folder = join(directory, 'broken');
  const put = (files: Record<string, unknown>) => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, value] of Object.entries(files))
      writeFileSync(join(folder, name), JSON.stringify(value));
  };
  const index = (weightMap: unknown) => ({ 'model.safetensors.index.json': { weight_map: weightMap } });

  it.each([
    [{}, /No weights in/],
    [{ 'pytorch_model.bin': 0 }, /a pickle/],
    [index({ a: 'model-1.safetensors' }), /lists model-1.safetensors, which is not there/],
    [index({ a: '../x.safetensors' }), /not in its own directory/],
    [index({ a: 1 }), /no weight_map/],
    [{ 'model.safetensors.index.json': [] }, /no weight_map/],
  ])('refuses %j', (files, message) => {
    put(files);
    expect(() => openSafetensorsDirectory(folder)).toThrowError(message);
  });

  it('refuses an index that disagrees with its shards', async () => {
    put(index({ a: 'one.safetensors', b: 'one.safetensors' }));
    await writeSafetensors(join(folder, 'one.safetensors'), new Map([['a', tensor([1])]]));
    expect(() => openSafetensorsDirectory(folder)).toThrowError(/lists b in one.safetensors, which lacks it/);
    put(index({ a: 'one.safetensors' }));
    await writeSafetensors(
      join(folder, 'one.safetensors'),
      new Map([
        ['a', tensor([1])],
        ['b', tensor([1])],
      ]),
    );
    expect(() => openSafetensorsDirectory(folder)).toThrowError(/one.safetensors holds b/);
  });

  it('names a tensor that is not there, and a dtype that cannot be used', () => {
    const weights = openSafetensors([fileWith({ a: { dtype: 'U8', shape: [3], data_offsets: [0, 3] } }, 3)]);
    expect(() => weights.get('b')).toThrowError(/no tensor b/);
    expect(() => weights.get('a')).toThrowError(/tensor a has the dtype U8/);
  });

  it('never changes the file when a tensor is written to', async () => {
    const path = join(directory, 'private.safetensors');
    await writeSafetensors(path, new Map([['x', tensor([1, 2, 3, 4])]]));
    const weights = openSafetensors([path]);
    const mapped = weights.get('x');
    ops.zero_(mapped);
    weights.close();
    expect([...mapped.toArray()]).toEqual([0, 0, 0, 0]);
    expect([...openSafetensors([path]).get('x').toArray()]).toEqual([1, 2, 3, 4]);
  });
});
