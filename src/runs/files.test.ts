import { linkSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createExclusive } from './files.ts';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, linkSync: vi.fn(fs.linkSync) };
});

const temporary = () => mkdtempSync(join(tmpdir(), 'mallows-files-'));

function refuseLinkOnce(code: string): void {
  vi.mocked(linkSync).mockImplementationOnce(() => {
    throw Object.assign(new Error(code), { code });
  });
}

describe('a file that must not exist', () => {
  it('is created once, and leaves what is there alone', () => {
    const folder = temporary();
    const path = join(folder, 'lock');
    expect(createExclusive(path, 'first')).toBe(true);
    expect(createExclusive(path, 'second')).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe('first');
    expect(readdirSync(folder)).toEqual(['lock']);
  });

  it('does not appear before it is written: a write that fails leaves nothing', () => {
    const folder = temporary();
    // Stands in for a full disk.
    const unwritable = undefined as unknown as string;
    expect(() => createExclusive(join(folder, 'lock'), unwritable)).toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each(['EPERM', 'ENOTSUP'])('is created on a disk without hard links, too (%s)', (code) => {
    const folder = temporary();
    const path = join(folder, 'lock');
    refuseLinkOnce(code);
    expect(createExclusive(path, 'first')).toBe(true);
    refuseLinkOnce(code);
    expect(createExclusive(path, 'second')).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe('first');
    expect(readdirSync(folder)).toEqual(['lock']);
  });

  it('passes other failures on', () => {
    refuseLinkOnce('ENOSPC');
    expect(() => createExclusive(join(temporary(), 'lock'), 'x')).toThrow('ENOSPC');
  });
});
