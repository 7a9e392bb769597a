import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { describeSystemError, isSystemError } from '../system-errors.ts';

/**
 * Finds out before any work whether its result can be written to the file `path`, and leaves nothing behind: its folder, or
 * the nearest one above it that is there, gets a file that is removed again. Folders that are missing are made with the result.
 *
 * @throws UsageError `output-not-writable`, `output-dash` for what other programs take as stdout
 */
export function requireWritable(path: string): void {
  if (path === '-') {
    throw new UsageError('output-dash', 'Results go to a file, and "-" does not stand for stdout.', {
      hint: 'Name a file (./- for one of that name). Where the option may be left out, results are printed without it, as records with --json.',
    });
  }
  const folder = nearestFolder(dirname(path));
  if (!statSync(folder).isDirectory()) throw notWritable(path, `${folder} is a file`);
  const probe = join(folder, `${basename(path)}.probe-${process.pid}`);
  try {
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw notWritable(path, describeSystemError(cause), cause);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw notWritable(path, 'it is a directory');
}

/** The folder itself, or the first above it that there is. */
function nearestFolder(folder: string): string {
  return existsSync(folder) ? folder : nearestFolder(dirname(folder));
}

function notWritable(path: string, why: string, cause?: unknown): UsageError {
  return new UsageError('output-not-writable', `${path} cannot be written (${why}).`, {
    cause,
    hint: 'Name a file in a directory that may be written to.',
  });
}
