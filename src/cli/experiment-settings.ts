import type { z } from 'zod';
import {
  describeOrigin,
  type FlagValue,
  flagLayer,
  type Layer,
  mergeLayers,
  setLayer,
  valueAt,
} from '../config/layers.ts';
import { UsageError } from '../errors.ts';
import { suggest } from '../suggest.ts';
import type { CliContext } from './context.ts';

/**
 * A scale's settings with what the command line says otherwise: `--set training.betas=[0.1]`, then its own flags, as in a
 * recipe. Null stands for a part that is not there. Every wrong setting is told at once.
 *
 * @throws UsageError `set-syntax`, `settings-invalid`
 */
export function overrideSettings<T extends object>(
  schema: z.ZodType<T>,
  scale: T,
  assignments: readonly string[],
  flags: readonly FlagValue[] = [],
): T {
  const base: Layer = { values: scale as Record<string, unknown>, origin: () => ({ kind: 'default' }) };
  const { removed = [], ...set } = setLayer(assignments);
  // What takes a key out of a recipe is a value here.
  const absent = flagLayer(
    removed.map(({ path }) => ({ flag: '--set', path: path.map(String), value: null })),
  );
  const merged = mergeLayers([base, absent, set, flagLayer(flags)]);
  const parsed = schema.safeParse(merged.values);
  // In the scale's own order of keys.
  if (parsed.success) return merged.values as T;
  const problems = parsed.error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }];
    const known = Object.keys(Object(valueAt(scale, path)));
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(key, known) }));
  });
  const lines = problems.map(({ path, message }) => {
    const given = valueAt(merged.values, path);
    const what = given === undefined ? 'is missing' : `${JSON.stringify(given)} is wrong`;
    return `  ${path.join('.')}: ${what}: ${message}  (${describeOrigin(merged.origin(path))})`;
  });
  throw new UsageError('settings-invalid', ['The settings cannot be used:', ...lines].join('\n'), {
    hint: 'The same command with --settings and without --set prints all settings as they are.',
  });
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = suggest(key, known);
  if (near !== undefined) return `there is no such setting; did you mean ${near}?`;
  return `there is no such setting; the settings here are ${known.join(', ') || 'none'}`;
}

/** The settings that an experiment runs with, or undefined when they were only to be printed (`--settings`). */
export function chosenSettings<T extends object>(
  context: CliContext,
  schema: z.ZodType<T>,
  scale: T,
  options: { readonly set?: readonly string[]; readonly settings?: boolean },
  flags: readonly FlagValue[],
): T | undefined {
  const settings = overrideSettings(schema, scale, options.set ?? [], flags);
  if (options.settings !== true) return settings;
  context.emit({ event: 'settings', settings });
  if (!context.json) context.print(JSON.stringify(settings, null, 2));
  return undefined;
}

/** `--data` of an experiment, which only `--settings` does without. */
export function requireData(data: string | undefined): string {
  if (data !== undefined) return data;
  throw new UsageError('data-missing', 'There are no data to run the experiment on.', {
    hint: 'Give them with --data, or print the settings with --settings.',
  });
}
