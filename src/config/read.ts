import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MatmulPrecision } from '../engine/index.ts';
import type { PreferenceOptions, SftOptions } from '../train/index.ts';
import { preferenceOptions, sftOptions } from './options.ts';
import { sftRecipe, trainRecipe } from './recipes.ts';
import { resolveRecipe } from './resolve.ts';
import type { SftRecipe, TrainRecipe } from './schema.ts';

/** A recipe as a program uses it. */
export interface ReadRecipe<Options> {
  /** For `trainPreference` or `trainSft`, beside what a recipe does not say: `observer`, `signal`, `resume`, `overwrite`. */
  readonly options: Options;
  /** CPU threads that it asks for: `setThreads` is the process's, so it is not called here. */
  readonly threads?: number;
  /** For `setMatmulPrecision`, likewise. */
  readonly matmulPrecision: MatmulPrecision;
}

/**
 * Reads a recipe of `mallows train`: the same defaults, checks and messages.
 *
 *     const { options } = readPreferenceRecipe('recipe.yaml', ['objective.name=mallows-theta', 'steps=100']);
 *     await trainPreference({ ...options, observer: (event) => log(event) });
 *
 * @param file a path, or the name of a recipe of the package (`quickstart`); nothing: only what `set` says
 * @param set `key.path=value`, as `--set` takes it; wins over the file, and `null` removes a key
 * @throws UsageError that names every wrong key with its line
 */
export function readPreferenceRecipe(
  file: string | undefined,
  set: readonly string[] = [],
): ReadRecipe<PreferenceOptions> {
  const { recipe } = resolveRecipe(trainRecipe, { file: findRecipe(file), set });
  return { options: preferenceOptions(recipe), ...processOf(recipe) };
}

/** Reads a recipe of `mallows sft`, as {@link readPreferenceRecipe} does one of `train`. */
export function readSftRecipe(file: string | undefined, set: readonly string[] = []): ReadRecipe<SftOptions> {
  const { recipe } = resolveRecipe(sftRecipe, { file: findRecipe(file), set });
  return { options: sftOptions(recipe), ...processOf(recipe) };
}

/** Where a recipe is found: a path, or the name of one that comes with the package. */
export function findRecipe(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (existsSync(name) || /[/\\.]/.test(name)) return name;
  const packaged = fileURLToPath(new URL(`../../recipes/${name}.yaml`, import.meta.url));
  return existsSync(packaged) ? relative(process.cwd(), packaged) : name;
}

function processOf({ threads, matmul_precision: matmulPrecision = 'highest' }: TrainRecipe | SftRecipe) {
  return { matmulPrecision, ...(threads !== undefined && { threads }) };
}
