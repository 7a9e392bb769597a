import { stringify } from 'yaml';
import { isRecord, type KeyPath } from './layers.ts';
import { writtenRecipe } from './objective.ts';
import type { DroppedFromFile, Resolved } from './resolve.ts';
import type { SftRecipe, TrainRecipe } from './schema.ts';

/** A key of the file that holds no longer, in words. */
export function describeDropped({ key, was, by }: DroppedFromFile): string {
  return `without ${key} of ${was}, because of ${by}`;
}

/**
 * The resolved recipe as YAML that can be run again, each value followed by where it came from, and the keys of the file
 * that hold no longer.
 */
export function explainRecipe(resolved: Resolved<TrainRecipe | SftRecipe>): string {
  const lines: { text: string; origin: string }[] = [];
  const walk = (values: Readonly<Record<string, unknown>>, path: KeyPath, indent: string): void => {
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) continue;
      const here = [...path, key];
      if (isRecord(value) && Object.keys(value).length > 0) {
        lines.push({ text: `${indent}${key}:`, origin: '' });
        walk(value, here, `${indent}  `);
      } else {
        const text = stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();
        lines.push({ text: `${indent}${key}: ${text}`, origin: resolved.originOf(here) });
      }
    }
  };
  walk(writtenRecipe(resolved.recipe), [], '');
  const width = Math.min(
    60,
    Math.max(...lines.filter((line) => line.origin !== '').map((line) => line.text.length)),
  );
  return [
    ...lines.map(({ text, origin }) => (origin === '' ? text : `${text.padEnd(width)}  # ${origin}`)),
    ...resolved.dropped.map((one) => `# ${describeDropped(one)}`),
  ].join('\n');
}
