import { readFileSync } from 'node:fs';
import { CommanderError } from '@commander-js/extra-typings';
import { createContext, tolerateClosedPipes } from './context.ts';
import { EXIT, errorRecord, exitCodeOf, renderError } from './errors.ts';
import type { EventRecord } from './events.ts';
import { stopWithStdin } from './interrupt.ts';
import { createProgram } from './program.ts';

/**
 * Runs one command line (without `node` and the script) and returns the exit code: 0, 1 failure, 2 usage, 3 data,
 * 130 interrupted.
 */
export async function main(argv: readonly string[]): Promise<number> {
  tolerateClosedPipes();
  stopWithStdin();
  const context = createContext(argv);
  const program = createProgram(context, version());
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return EXIT.success;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.success;
      // It has told people itself, before any option was looked at.
      if (argv.includes('--json')) context.json = true;
      context.emit(parserErrorRecord(error));
      return EXIT.usage;
    }
    context.emit(errorRecord(error));
    context.note(renderError(error, { paint: context.paint, debug: context.debug }));
    return exitCodeOf(error);
  }
}

/** What the option parser found, with its code in our spelling: `unknown-option`, `missing-argument`. */
function parserErrorRecord({ code, message }: CommanderError): EventRecord {
  const name = code.replace(/^commander\./, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return { event: 'error', code: name, message: message.replace(/^error: /, '') };
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
