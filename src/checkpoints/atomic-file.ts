import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory, namingPath } from '../system-errors.ts';

/**
 * Writes a file so that its name only ever stands for the whole of it: into a file beside it, which is synced to disk
 * and then takes the name. A failure leaves what was there before.
 */
export async function writeAtomically(
  path: string,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  makeDirectory(dirname(path));
  const temporary = `${path}.${randomBytes(6).toString('hex')}.partial`;
  const file = await open(temporary, 'wx');
  try {
    await write(file);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw namingPath(error, path);
  }
  await syncDirectory(dirname(path));
}

/** Makes a rename in this directory survive a power failure. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } catch (error) {
    throw namingPath(error, path);
  } finally {
    await directory.close();
  }
}
