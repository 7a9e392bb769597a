import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { describeSystemError, isSystemError, makeDirectory, namingPath } from './system-errors.ts';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, mkdirSync: vi.fn(fs.mkdirSync) };
});

const systemError = (code: string, details: object = {}) =>
  Object.assign(new Error(code), { code, syscall: 'write', ...details });

it('names the file of a write that failed', () => {
  const full = systemError('ENOSPC');
  expect(isSystemError(full) && describeSystemError(full)).toBe('no space left on the disk (write)');
  const named = namingPath(full, 'runs/a/metrics.jsonl');
  expect(isSystemError(named) && describeSystemError(named)).toBe(
    'runs/a/metrics.jsonl: no space left on the disk',
  );
  expect(namingPath(systemError('EACCES', { path: 'there' }), 'here')).toMatchObject({ path: 'there' });
  // Without words of its own: what Node says, with the file where Node does not know it.
  const broken = namingPath(systemError('EIO'), 'runs/a/metrics.jsonl');
  expect(isSystemError(broken) && describeSystemError(broken)).toBe('runs/a/metrics.jsonl: EIO');
  const opened = Object.assign(systemError('EMFILE', { path: 'a.txt' }), { message: "EMFILE: open 'a.txt'" });
  expect(describeSystemError(opened)).toBe("EMFILE: open 'a.txt'");
  const other = new Error('no path of this');
  expect(namingPath(other, 'here')).toBe(other);
  expect(other).not.toHaveProperty('path');
});

it('makes a directory and those above it', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'mallows-system-')), 'a', 'b');
  makeDirectory(path);
  makeDirectory(path);
  expect(existsSync(path)).toBe(true);
  writeFileSync(join(path, 'file'), '');
  expect(() => makeDirectory(join(path, 'file', 'c'))).toThrowError(
    expect.objectContaining({ code: 'ENOTDIR' }),
  );
});

it('says that a disk is read-only, where Node does not', () => {
  const top = join(mkdtempSync(join(tmpdir(), 'mallows-system-')), 'a');
  // What Linux and Node answer on such a disk.
  for (const code of ['ENOENT', 'EROFS']) {
    vi.mocked(mkdirSync).mockImplementationOnce((path) => {
      throw systemError(code, { path });
    });
  }
  expect(() => makeDirectory(join(top, 'b'))).toThrowError(
    expect.objectContaining({ code: 'EROFS', path: top }),
  );
});
