import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { suggest } from '../suggest.ts';
import {
  describeOrigin,
  type FlagValue,
  fileLayer,
  flagLayer,
  type KeyPath,
  type Layer,
  mergeLayers,
  type Replacement,
  setLayer,
  valueAt,
} from './layers.ts';

/** A recipe with every value filled in, and where each came from. */
export interface Resolved<T> {
  readonly recipe: T;
  /** Origin of a value in words: `default`, `recipe.yaml:4`, `--set`, `--model`. */
  originOf(path: KeyPath): string;
  /** Keys of the file that hold no longer, because of what the command line says. */
  readonly dropped: readonly DroppedFromFile[];
}

/** A key of the file that the command line removed: where it was, and what removed it, in words. */
export interface DroppedFromFile {
  readonly key: string;
  readonly was: string;
  readonly by: string;
}

export interface RecipeSources {
  /** Path of a YAML file. */
  readonly file?: string | undefined;
  /** `key.path=value` assignments; they win over the file. `null` removes a key. */
  readonly set?: readonly string[];
  /** Dedicated flags; they win over everything. */
  readonly flags?: readonly FlagValue[];
}

/** A wrong place in a recipe, before its origin is known. */
export interface Problem {
  readonly path: KeyPath;
  readonly message: string;
}

export interface RecipeKind<S extends z.ZodType> {
  readonly schema: S;
  /** Groups of keys of which a recipe may have one. */
  readonly exclusive?: readonly (readonly KeyPath[])[];
  /** Keys of the file that say something of another one only: they go when the command line gives that one. */
  readonly companions?: readonly { readonly of: KeyPath; readonly key: KeyPath }[];
  /** Rules between keys, and what the schema cannot say of removed ones. Runs when every single value is well-formed. */
  check?(recipe: z.infer<S>, removed: readonly KeyPath[]): readonly Problem[];
  /** Defaults that depend on other values; what it fills in counts as a default. */
  complete?(recipe: z.infer<S>): z.infer<S>;
}

/** Merges the layers (defaults < file < --set < flags) and checks the result, reporting every problem at once. */
export function resolveRecipe<S extends z.ZodType>(
  kind: RecipeKind<S>,
  sources: RecipeSources,
): Resolved<z.infer<S>> {
  const { exclusive = [], companions = [] } = kind;
  const either = exclusive.map((group): Replacement => ({ given: group, drops: group }));
  const outdated = companions.map(
    ({ of, key }): Replacement => ({
      given: [of],
      drops: [key],
      whenChanged: true,
    }),
  );
  const file = sources.file === undefined ? [] : [fileLayer(sources.file)];
  // What one command line says belongs together, whichever way it says it.
  const commandLine = mergeLayers([setLayer(sources.set ?? []), flagLayer(sources.flags ?? [])], either);
  const merged = mergeLayers([...file, commandLine], [...either, ...outdated]);

  const removed = (merged.removed ?? []).map(({ path }) => path);
  const parsed = kind.schema.safeParse(merged.values);
  const problems = [
    ...excluded(kind, merged),
    ...removed.flatMap((path) => unknownIn(kind.schema, path)),
    ...(parsed.success
      ? (kind.check?.(parsed.data, removed) ?? [])
      : parsed.error.issues.flatMap((issue) => describeIssue(issue, kind.schema, merged.values))),
  ];
  if (!parsed.success || problems.length > 0) throw recipeError(problems, merged);
  return {
    recipe: kind.complete?.(parsed.data) ?? parsed.data,
    originOf: (path) => describeOrigin(merged.origin(path)),
    dropped: merged.dropped.map(({ path, was, by }) => ({
      key: path.join('.'),
      was: describeOrigin(was),
      by: describeOrigin(by),
    })),
  };
}

/** Keys of one layer that exclude each other. */
function excluded(kind: RecipeKind<z.ZodType>, merged: Layer): Problem[] {
  return (kind.exclusive ?? []).flatMap((group) => {
    const [first, second] = group.filter((path) => valueAt(merged.values, path) !== undefined);
    if (first === undefined || second === undefined) return [];
    return [{ path: first, message: `excludes ${second.join('.')}; keep one of them` }];
  });
}

function recipeError(problems: readonly Problem[], merged: Layer): UsageError {
  const lines = problems.map(({ path, message }) => {
    const origin = merged.origin(path);
    const where = origin.kind === 'default' ? '' : `  (${describeOrigin(origin)})`;
    return `  ${path.length === 0 ? 'recipe' : path.join('.')}: ${message}${where}`;
  });
  const first = problems.map(({ path }) => merged.origin(path)).find((origin) => origin.kind === 'file');
  const head =
    problems.length === 1 ? 'The recipe has a problem:' : `The recipe has ${problems.length} problems:`;
  return new UsageError('recipe-invalid', [head, ...lines].join('\n'), {
    ...(first === undefined ? {} : { at: first.at }),
    hint: 'docs/recipe-keys.md lists every key; --explain shows the resolved recipe.',
  });
}

function describeIssue(issue: z.core.$ZodIssue, schema: z.ZodType, values: unknown): Problem[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = keysAt(schema, path) ?? [];
      return issue.keys.map((key) => unknownKey([...path, key], known));
    }
    case 'invalid_value': {
      const received = valueAt(values, path);
      const options = issue.values.map(String);
      const near = typeof received === 'string' ? suggest(received, options) : undefined;
      return [
        {
          path,
          message: `${JSON.stringify(received)} is not one of ${options.join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`,
        },
      ];
    }
    default: {
      const received = valueAt(values, path);
      if (received === undefined) return [{ path, message: 'is required' }];
      return [
        {
          path,
          message: `${JSON.stringify(received)} is wrong: ${issue.message.replace(/^Invalid input: /, '')}`,
        },
      ];
    }
  }
}

/** A key that is not among those that a place knows. */
export function unknownKey(path: KeyPath, known: readonly string[]): Problem {
  const near = suggest(String(path.at(-1)), known);
  const keys = known.length === 0 ? 'there are no keys here' : `the keys here are ${known.join(', ')}`;
  return { path, message: `unknown key; ${near === undefined ? keys : `did you mean ${near}?`}` };
}

/** The first key of a path that its place does not know, as a problem. */
function unknownIn(schema: z.ZodType, path: KeyPath): Problem[] {
  for (const [depth, key] of path.entries()) {
    const known = keysAt(schema, path.slice(0, depth));
    if (known === undefined) return [];
    if (!known.includes(String(key))) return [unknownKey(path.slice(0, depth + 1), known)];
  }
  return [];
}

/** The keys that a schema knows at a path, or undefined where it takes any. */
function keysAt(schema: z.ZodType, path: KeyPath): string[] | undefined {
  const place = path.reduce<unknown>((node, key) => {
    const outer = withoutWrappers(node);
    return outer instanceof z.ZodObject ? outer.shape[String(key)] : undefined;
  }, schema);
  const found = withoutWrappers(place);
  if (found instanceof z.ZodRecord) return undefined;
  if (!(found instanceof z.ZodObject)) return [];
  return found.def.catchall instanceof z.ZodUnknown ? undefined : Object.keys(found.shape);
}

/** The schema inside those that say what holds without a value. */
function withoutWrappers(schema: unknown): unknown {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap();
  }
  return inner;
}
