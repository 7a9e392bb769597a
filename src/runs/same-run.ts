import { parseDocument, stringify } from 'yaml';
import { UsageError } from '../errors.ts';
import { RunReader } from './read.ts';
import { type DataOrigin, type Provenance, RUN_FILES } from './records.ts';

/** Whether a directory holds the run of this recipe, another run, or none. */
export function holdsRun(path: string, recipe: unknown): 'same' | 'other' | 'none' {
  const run = new RunReader(path);
  if (!run.hasRun()) return 'none';
  return recipeDifference(run.recipeText(), stringify(recipe)) === undefined ? 'same' : 'other';
}

/** @throws UsageError `run-differs` where the run there has another recipe than the `wanted` one, as YAML */
export function requireSameRecipe(run: RunReader, wanted: string): void {
  const difference = recipeDifference(run.recipeText(), wanted);
  if (difference === undefined) return;
  throw new UsageError(
    'run-differs',
    `The run in ${run.path} has another recipe. First difference: ${difference}.`,
    { hint: 'Resume with the same recipe, choose another output directory, or overwrite the run.' },
  );
}

/** Where a run lies, and how it is computed and kept, but not what: a run may be moved, and resumed on another machine. */
const INDECISIVE = new Set(['output', 'threads', 'referenceCache', 'checkpoint']);

/** The values of a recipe that decide what comes of a run, its seed among them. */
export function decisiveValues<Recipe extends object>(recipe: Recipe): Partial<Recipe> {
  const decisive = Object.entries(recipe).filter(([key]) => !INDECISIVE.has(key));
  return Object.fromEntries(decisive) as Partial<Recipe>;
}

/**
 * The first decisive value that two recipes, as YAML, differ in, in words. Order is none: resolved again, a recipe.yaml may
 * have its keys in another.
 */
export function recipeDifference(there: string, wanted: string): string | undefined {
  const [before, now] = [recipeValues(there), recipeValues(wanted)];
  const key = [...now.keys(), ...before.keys()].find((name) => before.get(name) !== now.get(name));
  if (key === undefined) return undefined;
  const said = (values: ReadonlyMap<string, string>) =>
    values.has(key) ? `"${key}: ${values.get(key)}"` : `no ${key}`;
  return `${said(before)} there, ${said(now)} asked for`;
}

/** Values by whole key, as YAML: `optimizer.lr` → `0.000001`. */
function recipeValues(text: string): ReadonlyMap<string, string> {
  const leaves = (value: unknown, key: string): [string, string][] => {
    const parts = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    if (parts.length === 0) return [[key, stringify(value, { lineWidth: 0 }).trim()]];
    return parts.flatMap(([name, part]) => leaves(part, key === '' ? name : `${key}.${name}`));
  };
  return new Map(leaves(decisiveValues(parseDocument(text).toJS() ?? {}), ''));
}

/** What a resumed run must begin with again. The batch plan and the scores of the reference model follow from it. */
const COMPARED: readonly (readonly [
  what: string,
  value: (provenance: Provenance) => string | number | undefined,
])[] = [
  ['SHA-256 of the model', ({ model }) => model?.hash],
  ['SHA-256 of the training data', ({ data }) => data?.train?.hash],
  ['usable rows of the training data', ({ data }) => data?.train?.rows],
  ['held-out data', ({ data, seed }) => heldOut(data?.eval, seed)],
  ['usable held-out rows', ({ data }) => data?.eval?.rows],
  ['SHA-256 of the ids of evaluated rows', ({ data }) => data?.eval?.idsHash],
  ['precision', ({ precision }) => precision?.dtype],
];

/** @param seed of the training: it chose the rows where no seed of their own is named */
function heldOut(
  { hash, heldOutFraction, heldOutSeed: ownSeed }: DataOrigin = {},
  seed = 0,
): string | undefined {
  if (hash !== undefined) return `SHA-256 ${hash}`;
  if (heldOutFraction === undefined) return undefined;
  const heldOutSeed = ownSeed ?? seed;
  return `${heldOutFraction} of the training data${heldOutSeed === 0 ? '' : `, drawn with seed ${heldOutSeed}`}`;
}

/**
 * Compares what the run there and the `wanted` one are made of, as far as both say.
 *
 * @param notice told what may show in the last digits
 * @throws UsageError `run-differs`
 */
export function requireSameOrigins(
  run: RunReader,
  wanted: Provenance,
  notice?: (code: string, message: string) => void,
): void {
  const there = run.provenance();
  if (there === undefined) return;
  const { threads } = wanted;
  if (there.threads !== undefined && threads !== undefined && there.threads !== threads) {
    notice?.(
      'other-threads',
      `The run began with ${there.threads} CPU threads and goes on with ${threads}: sums may be rounded in another order, so its numbers may differ in the last digits from those of an uninterrupted run.`,
    );
  }
  const differences = COMPARED.flatMap(([what, value]) => {
    const [before, now] = [value(there), value(wanted)];
    if (before === undefined || now === undefined || before === now) return [];
    return [`${what}: ${before} there, ${now} now`];
  });
  if (differences.length === 0) return;
  throw new UsageError(
    'run-differs',
    `The run in ${run.path} began with something else than what is here now. ${differences.join('; ')}.`,
    {
      hint: `Bring back what its ${RUN_FILES.provenance} names, choose another output directory, or overwrite the run.`,
    },
  );
}
