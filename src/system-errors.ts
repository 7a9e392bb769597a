import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** An error of the operating system, as Node reports it. */
export interface SystemError extends Error {
  readonly code: string;
  readonly path?: string;
  readonly syscall: string;
}

export function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error && 'syscall' in error && typeof (error as { code?: unknown }).code === 'string'
  );
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'it exists already',
  EISDIR: 'it is a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on the disk',
  ENOTDIR: 'a part of the path is not a directory',
  EROFS: 'the file system is read-only',
};

/** `runs/a/metrics.jsonl: no space left on the disk` */
export function describeSystemError(error: SystemError): string {
  const what = WORDS[error.code];
  if (error.path === undefined) return what === undefined ? error.message : `${what} (${error.syscall})`;
  if (what !== undefined) return `${error.path}: ${what}`;
  return error.message.includes(error.path) ? error.message : `${error.path}: ${error.message}`;
}

/** The same error with the file that was written: for a write, Node knows only the descriptor. */
export function namingPath(error: unknown, path: string): unknown {
  return isSystemError(error) && error.path === undefined ? Object.assign(error, { path }) : error;
}

/** Makes a directory and those above it. On a read-only disk it says so, where Node's recursive mkdir says ENOENT. */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
    let missing = resolve(path);
    while (!existsSync(dirname(missing))) missing = dirname(missing);
    mkdirSync(missing);
    throw error;
  }
}
