import { Command, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { doctorCommand } from './commands/doctor.ts';
import { judgeCommand } from './commands/judge.ts';
import { setupCommand } from './commands/setup.ts';
import { winrateCommand } from './commands/winrate.ts';
import type { CliContext } from './context.ts';

/** Every command, in the order in which the help lists them. */
const COMMANDS: readonly ((context: CliContext) => CommandUnknownOpts)[] = [
  judgeCommand,
  winrateCommand,
  doctorCommand,
  setupCommand,
];

export function createProgram(context: CliContext, version: string): CommandUnknownOpts {
  const program = new Command('mallows')
    .description('Preference tuning of language models (DPO, MallowsPO) on libtorch.')
    .version(version, '-v, --version', 'version of the program')
    .helpOption('-h, --help', 'this help')
    .helpCommand(false)
    .configureHelp({ helpWidth: 100 })
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Examples:
  $ mallows quickstart                                   tune a real model on the CPU, read the report
  $ mallows train recipe.yaml --set objective.beta=0.05  train from a recipe
  $ mallows train --model smollm2-135m --data pairs.jsonl --objective mallows-theta
  $ mallows COMMAND --help                               options and examples of one command`,
    );
  for (const create of COMMANDS) program.addCommand(create(context));
  for (const each of [program, ...program.commands]) {
    each.exitOverride().configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) =>
        write(`${text.trimEnd()}\nRun "${fullName(each)} --help" for its options.\n`),
    });
  }
  return program;
}

function fullName(command: CommandUnknownOpts): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}
