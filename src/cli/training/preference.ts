import type { TrainRecipe } from '../../config/index.ts';
import type { PreferenceOptions } from '../../train/index.ts';
import type { CliContext } from '../context.ts';
import { printSchema } from './recipe.ts';
import type { TrainFlags } from './run.ts';

/** Preference tuning by a recipe; `again` is the command that goes on when it is interrupted. Default: `train`. */
export async function runPreference(
  context: CliContext,
  recipeArgument: string | undefined,
  flags: TrainFlags,
  again?: string,
): Promise<void> {
  const { preferenceOptions, recipeJsonSchema, trainRecipe, trainSchema } = await import(
    '../../config/index.ts'
  );
  if (flags.schema === true) {
    printSchema(context, recipeJsonSchema(trainSchema));
    return;
  }
  const { runRecipe } = await import('./run.ts');
  await runRecipe<TrainRecipe, PreferenceOptions>(context, recipeArgument, flags, {
    kind: trainRecipe,
    name: 'train',
    ...(again !== undefined && { again }),
    describe: (recipe) => `${recipe.objective.name}, β ${String(recipe.objective.beta ?? '–')}`,
    options: preferenceOptions,
    train: async (options) => {
      const { trainPreference } = await import('../../train/index.ts');
      return trainPreference(options);
    },
  });
}
