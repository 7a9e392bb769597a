import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isMap, LineCounter, parse, parseDocument } from 'yaml';
import { type SourceLocation, UsageError } from '../errors.ts';

/** Where a value came from. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly at: SourceLocation }
  | { readonly kind: 'set' }
  | { readonly kind: 'flag'; readonly flag: string };

/** Keys from the root to a value: `['objective', 'beta']`. */
export type KeyPath = readonly (string | number)[];

export interface Removal {
  readonly path: KeyPath;
  readonly by: Origin;
}

/** One source of values: a tree, and the origin of any place in it. */
export interface Layer {
  readonly values: Readonly<Record<string, unknown>>;
  /** Places of which nothing holds that earlier layers say. */
  readonly removed?: readonly Removal[];
  origin(path: KeyPath): Origin;
}

export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return origin.at.line === undefined ? origin.at.file : `${origin.at.file}:${origin.at.line}`;
    case 'set':
      return '--set';
    case 'flag':
      return origin.flag;
  }
}

/**
 * Reads a YAML recipe. Throws `UsageError` with the line of every syntax error, or when the file is missing or is not a
 * mapping.
 */
export function fileLayer(file: string): Layer {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('recipe-missing', `The recipe ${file} cannot be read: ${(cause as Error).message}`, {
      hint: 'Give the path of a YAML file, or the name of a recipe that comes with the package.',
      cause,
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const where = document.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return `${file}:${line}:${col}: ${error.message}`;
    });
    throw new UsageError('recipe-syntax', `The recipe is not valid YAML.\n${where.join('\n')}`, {
      at: { file, line: lines.linePos(document.errors[0]!.pos[0]).line },
      hint: 'Indent with spaces, write "key: value" with a space after the colon, and quote texts that hold ": " or "#".',
    });
  }
  if (document.contents !== null && !isMap(document.contents)) {
    throw new UsageError('recipe-syntax', `The recipe ${file} is not a list of "key: value" lines.`);
  }
  return {
    values: (document.toJS() ?? {}) as Record<string, unknown>,
    origin: (path) => {
      const offset = keyOffset(document, path);
      const line = offset === undefined ? undefined : lines.linePos(offset).line;
      return { kind: 'file', at: line === undefined ? { file } : { file, line } };
    },
  };
}

/** Offset of the key that a path names, or of the nearest enclosing one. */
function keyOffset(document: ReturnType<typeof parseDocument>, path: KeyPath): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const key of path) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => String((item.key as { value?: unknown }).value) === String(key));
    if (pair === undefined) break;
    offset = (pair.key as { range?: readonly number[] }).range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}

/**
 * `key.path=value` assignments from the command line; values are read as YAML (`1e-6`, `true`, `[a, b]`), and `null`
 * removes the key.
 */
export function setLayer(assignments: readonly string[]): Layer {
  const values: Record<string, unknown> = {};
  const removed: Removal[] = [];
  for (const assignment of assignments) {
    const split = assignment.indexOf('=');
    const key = assignment.slice(0, split).trim();
    if (split < 1 || key.split('.').some((part) => part === '')) {
      throw new UsageError(
        'set-syntax',
        `--set ${assignment}: expected key=value, such as objective.beta=0.05.`,
      );
    }
    const path = key.split('.');
    const text = assignment.slice(split + 1).trim();
    let value: unknown;
    try {
      value = parse(text);
    } catch (cause) {
      throw new UsageError('set-syntax', `--set ${assignment}: the value is not valid YAML.`, {
        hint: 'Quote texts with special characters twice: --set \'output="runs/a: b"\'.',
        cause,
      });
    }
    if (value !== null) {
      assign(values, path, value);
    } else if (WRITTEN_NULL.test(text)) {
      remove(values, path);
      removed.push({ path, by: { kind: 'set' } });
    } else {
      throw new UsageError('set-syntax', `--set ${assignment}: there is no value.`, {
        hint: `Give one; --set ${key}=null removes the key.`,
      });
    }
  }
  return { values, removed, origin: () => ({ kind: 'set' }) };
}

/** YAML reads an empty text as null, too: an empty shell variable must not remove a key. */
const WRITTEN_NULL = /^(?:null|Null|NULL|~)$/;

export interface FlagValue {
  readonly flag: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/** Dedicated flags (`--model M`); those that were not given have an undefined value. */
export function flagLayer(flags: readonly FlagValue[]): Layer {
  const given = flags.filter((flag) => flag.value !== undefined);
  const values: Record<string, unknown> = {};
  for (const { path, value } of given) assign(values, path, value);
  return {
    values,
    origin: (path) => {
      const flag = given.find((one) => one.path.every((key, index) => path[index] === key));
      return { kind: 'flag', flag: flag?.flag ?? '' };
    },
  };
}

function assign(values: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let target = values;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(target, key) ? target[key] : undefined;
    const child = isRecord(next) ? next : {};
    define(target, key, child);
    target = child;
  }
  define(target, path.at(-1)!, value);
}

// `__proto__` is a key like any other here, and must not reach the prototype.
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Any of the `given` keys in a later layer removes the `drops` of earlier ones. */
export interface Replacement {
  readonly given: readonly KeyPath[];
  readonly drops: readonly KeyPath[];
  /** Only with another value than before. */
  readonly whenChanged?: boolean;
}

/** A key that an earlier layer gave and a later one removed. */
export interface DroppedKey extends Removal {
  readonly was: Origin;
}

export interface MergedLayers extends Layer {
  readonly dropped: readonly DroppedKey[];
}

/** Later layers win key by key; lists and scalars are replaced whole. */
export function mergeLayers(
  layers: readonly Layer[],
  replacements: readonly Replacement[] = [],
): MergedLayers {
  const values: Record<string, unknown> = {};
  const merged: MergedLayer[] = [];
  const dropped: DroppedKey[] = [];
  for (const layer of layers) {
    const removed = removals(layer, values, replacements);
    for (const { path, by } of removed) {
      for (const place of gone(values, layer.values, path)) {
        dropped.push({ path: place, was: originIn(merged, place), by });
      }
      remove(values, path);
    }
    mergeInto(values, layer.values);
    merged.push({ layer, removed });
  }
  return {
    values,
    removed: layers.flatMap(({ removed = [] }) => removed),
    dropped,
    origin: (path) => originIn(merged, path),
  };
}

/** A layer, and what it cleared of the earlier ones. */
interface MergedLayer {
  readonly layer: Layer;
  readonly removed: readonly Removal[];
}

/** The places that a layer clears before its own values come, and what in it does so. */
function removals(layer: Layer, earlier: unknown, replacements: readonly Replacement[]): Removal[] {
  const replaced = replacements.flatMap(({ given, drops, whenChanged = false }) => {
    const cause = given.find(
      (path) =>
        has(layer.values, path) &&
        !(whenChanged && isDeepStrictEqual(valueAt(layer.values, path), valueAt(earlier, path))),
    );
    return cause === undefined ? [] : drops.map((path) => ({ path, by: layer.origin(cause) }));
  });
  return [...(layer.removed ?? []), ...replaced];
}

/** The places at a path and below that `before` has and `after` lacks: a section where all of it is gone, else its keys. */
function gone(before: unknown, after: unknown, path: KeyPath): KeyPath[] {
  if (!has(before, path)) return [];
  if (!has(after, path)) return [path];
  const [was, is] = [valueAt(before, path), valueAt(after, path)];
  if (!isRecord(was) || !isRecord(is)) return [];
  return Object.keys(was).flatMap((key) => gone(before, after, [...path, key]));
}

/** Where the value of a place comes from: the last layer that has it, unless one after that cleared it. */
function originIn(merged: readonly MergedLayer[], path: KeyPath): Origin {
  for (const { layer, removed } of [...merged].reverse()) {
    if (has(layer.values, path)) return layer.origin(path);
    if (removed.some((removal) => removal.path.every((key, index) => path[index] === key))) break;
  }
  return { kind: 'default' };
}

function mergeInto(target: Record<string, unknown>, source: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(source)) {
    const there = Object.hasOwn(target, key) ? target[key] : undefined;
    if (isRecord(value)) {
      const merged: Record<string, unknown> = isRecord(there) ? there : {};
      mergeInto(merged, value);
      define(target, key, merged);
    } else {
      define(target, key, value);
    }
  }
}

function remove(values: Record<string, unknown>, path: KeyPath): void {
  let node: unknown = values;
  for (const key of path.slice(0, -1)) {
    node = isRecord(node) && Object.hasOwn(node, key) ? node[key] : undefined;
  }
  if (isRecord(node)) delete node[path.at(-1)!];
}

function has(values: unknown, path: KeyPath): boolean {
  let node = values;
  for (const key of path) {
    if (Array.isArray(node)) return true; // an item of a list belongs to the list's layer
    if (!isRecord(node) || !Object.hasOwn(node, key)) return false;
    node = node[key];
  }
  return true;
}

export function valueAt(values: unknown, path: KeyPath): unknown {
  let node = values;
  for (const key of path) {
    const holds = (isRecord(node) || Array.isArray(node)) && Object.hasOwn(node, key);
    node = holds ? (node as Record<string, unknown>)[key] : undefined;
  }
  return node;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
