import { UsageError } from '../errors.ts';
import {
  createObjective,
  describeObjective,
  type ObjectiveOptions,
  objectiveNames,
  objectiveProblems,
  updateSizeProblems,
} from '../objectives/index.ts';
import type { KeyPath } from './layers.ts';
import { type Problem, unknownKey } from './resolve.ts';
import type { SftRecipe, TrainRecipe } from './schema.ts';

/*
 * Options of an objective are camelCase in the library, as its other names are, and snake_case in recipes, as their other
 * keys are. A resolved recipe holds them by the library's names.
 */

/** How recipes write an option of the library: `gammaBetaRatio` is `gamma_beta_ratio`. */
export function recipeKey(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A recipe's objective, checked, as the library takes it. */
export function objectiveOptions({ name, ...keys }: TrainRecipe['objective']): ObjectiveOptions {
  const options = describeObjective(name).options.map((option) => option.name);
  const given = options.filter((option) => Object.hasOwn(keys, recipeKey(option)));
  return { name, ...Object.fromEntries(given.map((option) => [option, keys[recipeKey(option)]])) };
}

/** A resolved recipe as it goes into a file. */
export function writtenRecipe<R extends TrainRecipe | SftRecipe>(recipe: R): R {
  if (!('objective' in recipe)) return recipe;
  const keys = Object.entries(recipe.objective).map(([option, value]) => [recipeKey(option), value]);
  return { ...recipe, objective: Object.fromEntries(keys) };
}

/** The registry knows which coefficients an objective has, and the objective which updates it can work with. */
export function checkObjective({ objective, batch }: TrainRecipe): Problem[] {
  const { name, ...keys } = objective;
  let known: string[];
  try {
    known = describeObjective(name).options.map((option) => recipeKey(option.name));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [{ path: ['objective', 'name'], message: [error.message, error.hint].filter(Boolean).join(' ') }];
  }
  const options = objectiveOptions(objective);
  const problems = [
    ...Object.keys(keys)
      .filter((key) => !known.includes(key))
      .map((key) => unknownKey(['objective', key], known)),
    ...objectiveProblems(options).map(({ option, message }) => ({
      path: ['objective', recipeKey(option)],
      message,
    })),
  ];
  if (problems.length > 0) return problems;
  return updateSizeProblems(createObjective(options), batch).map(({ key, message }) => ({
    path: ['batch', key],
    message,
  }));
}

/** Removed keys that no objective has: the one whose key it was may be replaced along with it. */
export function checkRemovedOptions(removed: readonly KeyPath[]): Problem[] {
  const paths = removed.filter(([section, ...keys]) => section === 'objective' && keys.length > 0);
  if (paths.length === 0) return [];
  const options = objectiveNames.flatMap((name) => describeObjective(name).options);
  const known = [...new Set(['name', ...options.map((option) => recipeKey(option.name))])];
  return paths
    .filter(([, ...keys]) => !known.includes(keys.join('.')))
    .map((path) => unknownKey(path, known));
}
