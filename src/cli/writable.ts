import { rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UsageError } from '../errors.ts';
import { describeSystemError, isSystemError, makeDirectory } from '../system-errors.ts';

/**
 * Finds out before any work whether its result can be written to the file `path`: makes the folder if need be, and in it a
 * file that is removed again.
 *
 * @throws UsageError `output-not-writable`
 */
export function requireWritable(path: string): void {
  const probe = `${path}.probe-${process.pid}`;
  try {
    makeDirectory(dirname(path));
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    // mkdir's word for a file where a directory should be.
    const why = cause.code === 'EEXIST' ? `${dirname(path)} is a file` : describeSystemError(cause);
    throw notWritable(path, why, cause);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw notWritable(path, 'it is a directory');
}

function notWritable(path: string, why: string, cause?: unknown): UsageError {
  return new UsageError('output-not-writable', `${path} cannot be written (${why}).`, {
    cause,
    hint: 'Name a file in a directory that may be written to.',
  });
}
