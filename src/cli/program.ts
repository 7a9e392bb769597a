import { Command, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { compareCommand } from './commands/compare.ts';
import { dispersionCommand } from './commands/dispersion.ts';
import { doctorCommand } from './commands/doctor.ts';
import { exportCommand } from './commands/export.ts';
import { frontierCommand } from './commands/frontier.ts';
import { generateCommand } from './commands/generate.ts';
import { judgeCommand } from './commands/judge.ts';
import { quickstartCommand } from './commands/quickstart.ts';
import { reproduceCommand } from './commands/reproduce.ts';
import { rewardCommand } from './commands/reward.ts';
import { scoreCommand } from './commands/score.ts';
import { setupCommand } from './commands/setup.ts';
import { sftCommand } from './commands/sft.ts';
import { sweepCommand } from './commands/sweep.ts';
import { trainCommand } from './commands/train.ts';
import { winrateCommand } from './commands/winrate.ts';
import type { CliContext } from './context.ts';

/** Every command, in the order in which the help lists them. */
const COMMANDS: readonly ((context: CliContext) => CommandUnknownOpts)[] = [
  quickstartCommand,
  trainCommand,
  sftCommand,
  scoreCommand,
  dispersionCommand,
  generateCommand,
  rewardCommand,
  judgeCommand,
  winrateCommand,
  compareCommand,
  frontierCommand,
  exportCommand,
  sweepCommand,
  reproduceCommand,
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
  for (const each of withSubcommands(program)) {
    each.exitOverride().configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) =>
        write(`${text.trimEnd()}\nRun "${fullName(each)} --help" for its options.\n`),
    });
  }
  return program;
}

/** A command and all below it: commander's settings are not inherited by commands that are added. */
function withSubcommands(command: CommandUnknownOpts): CommandUnknownOpts[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

function fullName(command: CommandUnknownOpts): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}
