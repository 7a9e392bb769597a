import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { collect, command, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP } from '../options.ts';

export function sweepCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'sweep', 'train a grid of settings over seeds, and compare them', [
    'mallows sweep recipe.yaml --grid objective.name=dpo,mallows-theta --grid objective.beta=0.05,0.1 --seeds 5',
    'mallows sweep recipe.yaml --grid optimizer.lr=5e-7,1e-6 --parallel 2 --output runs/rates',
  ])
    .argument('[recipe]', 'YAML file, or the name of a recipe of the package')
    .requiredOption('--grid <key=v1,v2>', 'a key of the recipe and its values; may be repeated', collect)
    .option('--seeds <n>', 'runs of each cell, from the recipe’s seed upwards', positiveInteger, 1)
    .option('--parallel <n>', 'runs at the same time', positiveInteger, 1)
    .option('--retries <n>', 'further attempts at a run that fails', wholeNumber, 1)
    .option(
      '--metric <name>',
      'what cells are compared by, on held-out pairs (default: log_ratio/accuracies where every run has it, else rewards/accuracies)',
    )
    .option('--lower-is-better', 'the metric’s small values are good (so for losses and KL)')
    .option('--baseline <cell>', 'test every comparable cell against this one only')
    .option('--no-control', 'no shuffled-dispersion control beside objectives that use dispersion')
    .option(
      '--set <key=value>',
      'set any key of the recipe, or remove it with null; may be repeated',
      collect,
    )
    .option('--model <model>', MODEL_HELP)
    .option('--data <data>', 'preference pairs')
    .option('--eval-data <data>', 'held-out pairs (default: a tenth of the data)')
    .option('--output <dir>', 'where runs and reports go; an interrupted sweep goes on there', 'runs/sweep')
    .action(async (recipe, options) => {
      const { sweepRecipe } = await import('../sweep/command.ts');
      await sweepRecipe(context, recipe, options);
    });
}
