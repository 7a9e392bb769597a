import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { SftRecipe } from '../../config/index.ts';
import type { SftOptions } from '../../train/index.ts';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { columnOption, MODEL_HELP } from '../options.ts';
import { printSchema } from '../training/recipe.ts';

export function sftCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'sft', 'fine-tune a model on prompts with completions, or on plain text', [
    'mallows sft --model smollm2-135m --data chats.jsonl --output runs/sft',
    'mallows sft recipe.yaml --set max_length=512 --set epochs=2',
    'mallows sft --model gpt2-dir --data reviews.jsonl --set optimizer.lr=1e-5 --explain',
  ])
    .argument('[recipe]', 'YAML file, or a recipe of the package: hh-sft')
    .option(
      '--set <key=value>',
      'set any key of the recipe, or remove it with null; may be repeated',
      collect,
    )
    .option('--model <model>', MODEL_HELP)
    .option('--data <data>', '{prompt, completion}, {messages}, {text}, a .txt file, or preference pairs')
    .option('--eval-data <data>', 'held-out examples (default: a tenth of the data)')
    .addOption(columnOption())
    .option('--output <dir>', 'run directory: metrics, checkpoints, model, report (default: runs/sft)')
    .option('--resume', 'go on with the run in the output directory')
    .option('--overwrite', 'delete the run in the output directory first')
    .option('--explain', 'print the resolved recipe and where each value came from; train nothing')
    .option('--schema', 'print the recipe’s JSON Schema, for editors')
    .action(async (recipeArgument, flags) => {
      const { recipeJsonSchema, sftOptions, sftRecipe, sftSchema } = await import('../../config/index.ts');
      if (flags.schema === true) {
        printSchema(context, recipeJsonSchema(sftSchema));
        return;
      }
      const { runRecipe } = await import('../training/run.ts');
      await runRecipe<SftRecipe, SftOptions>(context, recipeArgument, flags, {
        kind: sftRecipe,
        name: 'sft',
        describe: () => 'supervised fine-tuning',
        options: sftOptions,
        train: async (options) => {
          const { trainSft } = await import('../../train/index.ts');
          return trainSft(options);
        },
      });
    });
}
