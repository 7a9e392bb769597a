import { Command, type CommandUnknownOpts, InvalidArgumentError } from '@commander-js/extra-typings';
import type { CliContext } from './context.ts';

/**
 * A command in the house style: a summary for the list, `--json` and `--debug`, examples at the end of its help.
 * Everything heavy is imported inside the action, so that `mallows --help` starts at once and needs no engine.
 */
export function command<const Name extends string>(
  context: CliContext,
  name: Name,
  summary: string,
  examples: readonly string[],
) {
  return documented(name, summary, examples)
    .option('--json', 'one JSON object a line on stdout, all else on stderr')
    .option('--debug', 'show causes and stacks of errors')
    .hook('preAction', (_, action) => {
      const { json, debug } = action.opts() as { json?: boolean; debug?: boolean };
      if (json === true) context.json = true;
      if (debug === true) context.debug = true;
    });
}

/** A command that only holds others. */
export function commandGroup(
  name: string,
  summary: string,
  examples: readonly string[],
  commands: readonly CommandUnknownOpts[],
): CommandUnknownOpts {
  const group = documented(name, summary, examples).helpCommand(false);
  for (const each of commands) group.addCommand(each);
  return group;
}

function documented<const Name extends string>(name: Name, summary: string, examples: readonly string[]) {
  return new Command(name)
    .summary(summary)
    .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
    .helpOption('-h, --help', 'this help')
    .configureHelp({ helpWidth: 100 })
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`);
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1 || text.trim() === '') {
    throw new InvalidArgumentError('Expected a whole number of at least 1.');
  }
  return value;
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '') {
    throw new InvalidArgumentError('Expected a whole number of at least 0.');
  }
  return value;
}

export function decimal(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || text.trim() === '') throw new InvalidArgumentError('Expected a number.');
  return value;
}

/** For options that may be repeated. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}
