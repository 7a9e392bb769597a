import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mapFile, ops } from './index.ts';

describe('a mapped file', () => {
  let folder: string;
  let path: string;
  const content = Buffer.alloc(24);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mallows-map-'));
    path = join(folder, 'weights.bin');
    for (const [i, value] of [1.5, -2, 3.25, 4].entries()) content.writeFloatLE(value, 4 * i);
    content.writeBigInt64LE(-5n, 16);
    writeFileSync(path, content);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is read in place, at any offset and dtype', () => {
    const file = mapFile(path);
    expect(file.size).toBe(24);
    const floats = file.tensor(0, [2, 2], 'float32');
    expect([...floats.toFloat64()]).toEqual([1.5, -2, 3.25, 4]);
    expect(file.tensor(16, [], 'int64').item()).toBe(-5);
    expect(file.tensor(24, [0], 'float32').size).toBe(0);
    file.close();
    expect(() => file.tensor(0, [1], 'float32')).toThrow(expect.objectContaining({ code: 'file-closed' }));
    expect(floats.toFloat64()[3]).toBe(4); // the mapping outlives the file object
    floats.dispose();
  });

  it('reads misaligned offsets', () => {
    const shifted = join(folder, 'shifted.bin');
    writeFileSync(shifted, Buffer.concat([Buffer.of(0), content]));
    expect([...mapFile(shifted).tensor(1, [4], 'float32').toFloat64()]).toEqual([1.5, -2, 3.25, 4]);
  });

  it('is never changed by writing to its tensors', () => {
    const x = mapFile(path).tensor(0, [4], 'float32');
    ops.mul_(x, 2);
    expect([...x.toFloat64()]).toEqual([3, -4, 6.5, 8]);
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('refuses what lies outside the file, and files that are not there', () => {
    const file = mapFile(path);
    for (const [offset, shape] of [
      [20, [2]],
      [-4, [1]],
      [0, [2 ** 31, 2 ** 31, 2 ** 31]],
    ] as const) {
      expect(() => file.tensor(offset, shape, 'float32')).toThrow(
        expect.objectContaining({ code: 'out-of-bounds' }),
      );
    }
    expect(() => file.tensor(0, [-1], 'float32')).toThrow('no negative entries');
    expect(() => mapFile(join(folder, 'missing'))).toThrow(
      expect.objectContaining({ code: 'file-unreadable', message: expect.stringContaining('No such file') }),
    );
  });

  it('maps an empty file', () => {
    const path = join(folder, 'empty.bin');
    writeFileSync(path, '');
    expect(mapFile(path).size).toBe(0);
  });
});
