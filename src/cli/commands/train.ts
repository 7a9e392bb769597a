import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { columnOption, MODEL_HELP, PAIRS_HELP } from '../options.ts';

export function trainCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'train', 'tune a model on preference pairs', [
    'mallows train recipe.yaml',
    'mallows train --model smollm2-135m --data pairs.jsonl --objective mallows-theta --output runs/a',
    'mallows train recipe.yaml --set objective.beta=0.05 --set steps=200 --explain',
    'mallows train recipe.yaml --output runs/a --resume',
  ])
    .argument('[recipe]', 'YAML file, or a recipe of the package: quickstart, small, hh, ultrafeedback')
    .option(
      '--set <key=value>',
      'set any key of the recipe, or remove it with null; may be repeated',
      collect,
    )
    .option('--model <model>', MODEL_HELP)
    .option('--data <data>', PAIRS_HELP)
    .option('--eval-data <data>', 'held-out pairs (default: a tenth of the data)')
    .addOption(columnOption())
    .option('--objective <name>', 'dpo, mallows-theta, ipo, … (docs/objectives.md; default: mallows-theta)')
    .option('--output <dir>', 'run directory: metrics, checkpoints, model, report (default: runs/train)')
    .option('--resume', 'go on with the run in the output directory')
    .option('--overwrite', 'delete the run in the output directory first')
    .option('--explain', 'print the resolved recipe and where each value came from; train nothing')
    .option('--schema', 'print the recipe’s JSON Schema, for editors')
    .action(async (recipeArgument, flags) => {
      const { runPreference } = await import('../training/preference.ts');
      await runPreference(context, recipeArgument, flags);
    });
}
