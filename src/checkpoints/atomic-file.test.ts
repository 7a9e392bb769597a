import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { describeSystemError, isSystemError } from '../system-errors.ts';
import { writeAtomically } from './atomic-file.ts';

vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof import('node:fs/promises')>();
  return { ...fs, open: vi.fn(fs.open) };
});

it.each(['file', 'directory'])('names the %s that a disk could not sync', async (what) => {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-atomic-'));
  const path = join(folder, 'model.safetensors');
  const named = what === 'file' ? path : folder;
  const real = (await vi.importActual<typeof import('node:fs/promises')>('node:fs/promises')).open;
  vi.mocked(open).mockImplementation(async (opened, flags) => {
    const handle: FileHandle = await real(opened, flags);
    if ((opened === folder) === (what === 'directory')) {
      // What Node says: it knows the descriptor only.
      const error = Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
      handle.sync = () => Promise.reject(error);
    }
    return handle;
  });
  const failed = await writeAtomically(path, (file) => file.writeFile('x')).catch((error: unknown) => error);
  expect(isSystemError(failed) && describeSystemError(failed)).toBe(`${named}: EIO: i/o error, fsync`);
  expect(readdirSync(folder)).toEqual(what === 'file' ? [] : ['model.safetensors']);
  rmSync(folder, { recursive: true });
});
