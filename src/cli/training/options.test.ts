import { expect, it } from 'vitest';
import { resolveRecipe, trainRecipe } from '../../config/index.ts';
import { createObjective, type ObjectiveOptions } from '../../objectives/index.ts';
import { createContext } from '../context.ts';
import { trainOptions } from './options.ts';

it('a recipe’s objective goes to the library in its names, and into the run directory in the recipe’s', async () => {
  const set = ['model=m', 'data=d', 'lora={rank: 4}', 'objective={name: cdpo, label_smoothing: 0.2}'];
  const { recipe } = resolveRecipe(trainRecipe, { set });
  expect(createObjective(recipe.objective as ObjectiveOptions).name).toBe('cdpo');
  const { lora, recipe: kept } = await trainOptions(createContext(), recipe);
  expect(lora).toMatchObject({ rank: 4, alpha: 8 });
  expect(kept).toMatchObject({ objective: { name: 'cdpo', label_smoothing: 0.2 }, lora: { alpha: 8 } });
  // What is kept is a recipe that goes on with the run.
  const flags = Object.entries(kept as object).map(([key, value]) => ({ flag: key, path: [key], value }));
  expect(resolveRecipe(trainRecipe, { flags }).recipe).toEqual(recipe);
});
