import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { TrainingNumbers } from '../../report/index.ts';
import { RunReader } from '../../runs/read.ts';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { shellWord } from '../shell.ts';
import { runPreference } from '../training/preference.ts';

const RECIPE = fileURLToPath(new URL('../../../recipes/quickstart.yaml', import.meta.url));

const OUTPUT = 'runs/quickstart';

export function quickstartCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'quickstart', 'tune a real 135M chat model on real pairs, on the CPU, in minutes', [
    'mallows quickstart',
    'mallows quickstart --overwrite        again from the start',
    'mallows train quickstart --explain    the recipe it runs',
  ])
    .option('--output <dir>', 'run directory', OUTPUT)
    .option('--overwrite', 'delete the run that is there and start again')
    .action(async ({ output, overwrite }) => {
      const run = new RunReader(output);
      if (overwrite !== true && run.hasReport()) {
        const numbers = JSON.parse(readFileSync(run.file('reportNumbers'), 'utf8')) as TrainingNumbers;
        context.note(`The quickstart has run already; --overwrite runs it again.`);
        for (const sentence of numbers.verdict) context.print(sentence);
        context.note(`model   ${run.modelPath}`);
        context.note(`report  ${run.file('report')}`);
        context.emit({ event: 'done', output, ...numbers });
        return;
      }
      await runPreference(
        context,
        RECIPE,
        {
          output,
          ...(overwrite === true ? { overwrite } : { resume: run.hasRun() }),
        },
        `mallows quickstart${output === OUTPUT ? '' : ` --output ${shellWord(output)}`}`,
      );
      const model = shellWord(run.modelPath);
      context.note(`try     mallows generate --model ${model} --chat --prompt "Why is the sky blue?"`);
    });
}
