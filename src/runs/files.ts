import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DataError } from '../errors.ts';
import { makeDirectory, namingPath } from '../system-errors.ts';

/** Makes renames and new names in a directory survive a power cut. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function syncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Readers see the old content or the new, never a part: temporary file, fsync, rename. Makes the folder if need be: a result
 * of minutes must not be lost to a missing one. Content given in pieces is written piece by piece.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array | Iterable<string>): void {
  makeDirectory(dirname(path));
  const temporary = `${path}.tmp-${process.pid}`;
  const whole = typeof content === 'string' || content instanceof Uint8Array;
  try {
    const fd = openSync(temporary, 'w');
    try {
      for (const piece of whole ? [content] : content) writeFileSync(fd, piece);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw namingPath(error, path);
  }
  syncDirectory(dirname(path));
}

/** @throws DataError `json-damaged` */
export function readJson(path: string): unknown {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError('json-damaged', `${path} is not JSON: ${(cause as Error).message}.`, {
      at: { file: path },
      hint: 'The file was cut off, or changed by something else: restore it.',
      cause,
    });
  }
}

export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** What disks without hard links (exFAT, many network and FUSE mounts) answer to one. */
const NO_LINKS: readonly unknown[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/**
 * Creates a file that must not exist; `false` when it does. It appears with its content, as whoever finds it empty could
 * not tell a file that is being written from one whose writer was killed. Only where a disk has no hard links there is
 * such a moment.
 */
export function createExclusive(path: string, content: string): boolean {
  // Not the process's number: containers that share a disk all have a process 1.
  const temporary = `${path}.new-${randomUUID()}`;
  try {
    writeNew(temporary, content);
    try {
      linkSync(temporary, path);
    } catch (error) {
      if (!NO_LINKS.includes((error as NodeJS.ErrnoException).code)) throw error;
      writeNew(path, content);
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function writeNew(path: string, content: string): void {
  const fd = openSync(path, 'wx');
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
