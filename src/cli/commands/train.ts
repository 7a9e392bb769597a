import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import type { TrainRecipe } from '../../config/index.ts';
import type { PreferenceOptions, PreferenceResult } from '../../train/index.ts';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP, PAIRS_HELP } from '../options.ts';

/** Flags that training commands share with each other and with the recipe. */
export interface TrainFlags {
  readonly set?: readonly string[];
  readonly model?: string;
  readonly data?: string;
  readonly evalData?: string;
  readonly objective?: string;
  readonly output?: string;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly explain?: boolean;
  readonly schema?: boolean;
}

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
    .option('--objective <name>', 'dpo, mallows-theta, ipo, … (docs/objectives.md; default: mallows-theta)')
    .option('--output <dir>', 'run directory: metrics, checkpoints, model, report (default: runs/train)')
    .option('--resume', 'go on with the run in the output directory')
    .option('--overwrite', 'delete the run in the output directory first')
    .option('--explain', 'print the resolved recipe and where each value came from; train nothing')
    .option('--schema', 'print the recipe’s JSON Schema, for editors')
    .action(async (recipeArgument, flags: TrainFlags) => {
      await runTrain(context, recipeArgument, flags);
    });
}

/** What the command does, for other commands that train by a recipe; `again` is how they go on when interrupted. */
export async function runTrain(
  context: CliContext,
  recipeArgument: string | undefined,
  flags: TrainFlags,
  again?: string,
): Promise<void> {
  const { recipeJsonSchema, trainRecipe, trainSchema } = await import('../../config/index.ts');
  if (flags.schema === true) {
    printSchema(context, recipeJsonSchema(trainSchema));
    return;
  }
  const { runRecipe } = await import('../train-run.ts');
  await runRecipe<TrainRecipe>(context, recipeArgument, flags, {
    kind: trainRecipe,
    name: 'train',
    ...(again !== undefined && { again }),
    describe: (recipe) => `${recipe.objective.name}, β ${String(recipe.objective.beta ?? '–')}`,
    train: async (recipe, options): Promise<PreferenceResult> => {
      const { trainPreference } = await import('../../train/index.ts');
      const { floor, shuffle, source } = recipe.dispersion;
      const preference: PreferenceOptions = {
        ...options,
        data: recipe.data,
        ...(recipe.eval_data !== undefined && { evalData: recipe.eval_data }),
        objective: recipe.objective,
        dispersion: { source, shuffle, ...(floor !== undefined && { floor }) },
      };
      return trainPreference(preference);
    },
  });
}

/** `--schema`: what an editor checks recipes by. */
export function printSchema(context: CliContext, schema: object): void {
  context.emit({ event: 'schema', schema });
  if (!context.json) context.print(JSON.stringify(schema, null, 2));
}
