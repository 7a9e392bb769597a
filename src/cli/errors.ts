import { DataError, MallowsError, UsageError } from '../errors.ts';
import type { EventRecord } from './events.ts';
import type { Paint } from './paint.ts';

export const EXIT = { success: 0, failure: 1, usage: 2, data: 3, interrupted: 130 } as const;

/** A run that stopped because it was asked to; not a failure, but not finished either. */
export class Interrupted extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Interrupted';
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return EXIT.interrupted;
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof DataError) return EXIT.data;
  return EXIT.failure;
}

/** What went wrong, where, and what to do; causes and stacks only when asked for. */
export function renderError(error: unknown, options: { paint: Paint; debug: boolean }): string {
  const { paint, debug } = options;
  const lines: string[] = [];
  const field = (name: string, text: string): void => {
    lines.push(`${paint.dim(`${name}:`.padStart(7))} ${text}`);
  };
  if (error instanceof Interrupted) {
    lines.push(error.message);
  } else if (error instanceof MallowsError) {
    lines.push(`${paint.red(paint.bold('error:'))} ${error.message}`);
    if (error.at !== undefined)
      field('at', error.at.line === undefined ? error.at.file : `${error.at.file}:${error.at.line}`);
    if (error.hint !== undefined) field('hint', error.hint);
    field('code', error.code);
  } else if (isSystemError(error)) {
    lines.push(`${paint.red(paint.bold('error:'))} ${systemMessage(error)}`);
    field('code', error.code.toLowerCase());
  } else {
    const message = error instanceof Error ? error.message : String(error);
    lines.push(`${paint.red(paint.bold('internal error:'))} ${message}`);
    field(
      'hint',
      'This is a fault of the program. Run the command again with --debug and report what it prints.',
    );
  }
  if (debug) lines.push(...stacks(error));
  return lines.join('\n');
}

/** The same as an object, for `--json`. */
export function errorRecord(error: unknown): EventRecord {
  if (error instanceof MallowsError) {
    const { code, message, hint, at } = error;
    return {
      event: 'error',
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(at === undefined ? {} : { at }),
    };
  }
  if (error instanceof Interrupted) return { event: 'interrupted', message: error.message };
  return {
    event: 'error',
    code: isSystemError(error) ? error.code.toLowerCase() : 'internal',
    message: String(error),
  };
}

interface SystemError extends Error {
  readonly code: string;
  readonly path?: string;
  readonly syscall: string;
}

function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error && 'syscall' in error && typeof (error as { code?: unknown }).code === 'string'
  );
}

const SYSTEM: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'it exists already',
  EISDIR: 'it is a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on the disk',
  ENOTDIR: 'a part of the path is not a directory',
  EROFS: 'the file system is read-only',
};

function systemMessage(error: SystemError): string {
  const what = SYSTEM[error.code];
  if (what === undefined) return error.message;
  return error.path === undefined ? `${what} (${error.syscall})` : `${error.path}: ${what}`;
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    lines.push('', each === error ? '' : 'caused by', each.stack ?? String(each));
  }
  return lines.filter((line, index) => line !== '' || index === 0);
}
