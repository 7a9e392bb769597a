import { DataError, MallowsError, UsageError } from '../errors.ts';
import { describeSystemError, isSystemError } from '../system-errors.ts';
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
    const hint = hintOf(error);
    if (hint !== undefined) field('hint', hint);
    field('code', error.code);
  } else if (isSystemError(error)) {
    lines.push(`${paint.red(paint.bold('error:'))} ${describeSystemError(error)}`);
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
    const { code, message, at } = error;
    const hint = hintOf(error);
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

/** What the hints of the library's errors, which speak of options, come to on the command line. */
export const FLAGS: Readonly<Record<string, string>> = {
  'adapter-attached': 'mallows export --model ADAPTER --to DIRECTORY',
  'api-key-refused':
    '--key-env names the variable that holds it; --server-key-env for models that answer to judge',
  'cache-in-use': '--cache, or another --output',
  'chat-template-missing': '--format text',
  'chat-template-render': '--format text',
  'checkpoints-damaged': '--overwrite',
  'data-in-output': '--output',
  'export-exists': '--overwrite',
  'missing-answer': '--prompts',
  'missing-columns': '--column prompt=YOUR_COLUMN',
  'model-in-output': '--output',
  'not-a-language-model': 'mallows reward score --model MODEL, mallows judge --judge MODEL',
  'prompt-not-stated': '--prompts',
  'run-differs': '--output, --overwrite',
  'run-exists': '--resume, --output, --overwrite',
};

function hintOf({ code, hint }: MallowsError): string | undefined {
  const flags = FLAGS[code];
  return hint === undefined || flags === undefined ? hint : `${hint.replace(/\.$/, '')} (${flags}).`;
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    lines.push('', each === error ? '' : 'caused by', each.stack ?? String(each));
  }
  return lines.filter((line, index) => line !== '' || index === 0);
}
