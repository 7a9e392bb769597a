import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { TrainingNumbers } from '../../report/index.ts';
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
      const report = join(output, 'report.json');
      if (overwrite !== true && existsSync(report)) {
        const numbers = JSON.parse(readFileSync(report, 'utf8')) as TrainingNumbers;
        context.note(`The quickstart has run already; --overwrite runs it again.`);
        for (const sentence of numbers.verdict) context.print(sentence);
        context.note(`model   ${join(output, 'model')}`);
        context.note(`report  ${join(output, 'report.html')}`);
        context.emit({ event: 'done', output, ...numbers });
        return;
      }
      await runPreference(
        context,
        RECIPE,
        {
          output,
          ...(overwrite === true ? { overwrite } : { resume: existsSync(join(output, 'recipe.yaml')) }),
        },
        `mallows quickstart${output === OUTPUT ? '' : ` --output ${shellWord(output)}`}`,
      );
      const model = shellWord(join(output, 'model'));
      context.note(`try     mallows generate --model ${model} --chat --prompt "Why is the sky blue?"`);
    });
}
