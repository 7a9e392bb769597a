import { parse } from 'yaml';
import { UsageError } from '../errors.ts';
import { suggest } from '../suggest.ts';

/**
 * Settings of an experiment with some replaced: `training.betas=[0.1]`. A key that there is not, or a value of another
 * kind than the one it replaces, is refused. Null stands for text that is not given.
 */
export function overrideSettings<T extends object>(settings: T, assignments: readonly string[]): T {
  const result = structuredClone(settings);
  for (const assignment of assignments) {
    const split = assignment.indexOf('=');
    const path = assignment.slice(0, split).trim().split('.');
    if (split < 1) throw new UsageError('set-syntax', `--set ${assignment}: expected key=value.`);
    let place = result as Record<string, unknown>;
    for (const [depth, key] of path.entries()) {
      if (!Object.hasOwn(place, key)) throw unknownKey(path.slice(0, depth + 1), place);
      if (depth === path.length - 1)
        place[key] = checked(assignment, place[key], parse(assignment.slice(split + 1)));
      else if (isSection(place[key])) place = place[key];
      else throw unknownKey(path.slice(0, depth + 2), {});
    }
  }
  return result;
}

function checked(assignment: string, before: unknown, value: unknown): unknown {
  const wanted = kind(before);
  const fits = wanted === 'null' || wanted === 'text' ? ['text', 'null'] : [wanted];
  if (wanted === 'section') {
    const [key] = Object.keys(before as object);
    const path = assignment.slice(0, assignment.indexOf('='));
    throw new UsageError(
      'set-type',
      `--set ${assignment}: ${path} is a section, whose keys are set one by one.`,
      {
        hint: `For example: --set ${path}.${key}=…`,
      },
    );
  }
  if (fits.includes(kind(value))) return value;
  throw new UsageError(
    'set-type',
    `--set ${assignment}: expected ${fits.join(' or ')}, received ${kind(value)}.`,
    {
      hint: `Now it is ${JSON.stringify(before)}.`,
    },
  );
}

function kind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  if (isSection(value)) return 'section';
  return typeof value === 'string' ? 'text' : typeof value;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknownKey(path: readonly string[], place: Readonly<Record<string, unknown>>): UsageError {
  const keys = Object.keys(place);
  const near = suggest(path.at(-1)!, keys);
  return new UsageError('set-key', `There is no setting ${path.join('.')}.`, {
    hint:
      near === undefined ? `The settings here are ${keys.join(', ') || 'none'}.` : `Did you mean ${near}?`,
  });
}
