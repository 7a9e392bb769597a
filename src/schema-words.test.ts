import { expect, it } from 'vitest';
import { z } from 'zod';
import { accepts, type SchemaNode } from './schema-words.ts';

it.each<[z.ZodType, string]>([
  [z.boolean(), 'true | false'],
  [z.string(), 'text'],
  [z.number(), 'number'],
  [z.number().positive(), 'number > 0'],
  [z.number().min(0).lt(0.5), 'number ≥ 0 and < 0.5'],
  [z.int(), 'whole number'],
  [z.int().min(1).max(8), 'whole number ≥ 1 and ≤ 8'],
  [z.enum(['adamw', 'sgd']), 'adamw | sgd'],
  [z.union([z.literal('auto'), z.int().positive()]), 'auto or whole number > 0'],
  [z.array(z.string()), '[text, …]'],
  [z.tuple([z.number(), z.number()]), '[number, number]'],
  [z.record(z.string(), z.string()), '{name: text, …}'],
])('says in words what a schema accepts: %#', (schema, words) => {
  expect(accepts(z.toJSONSchema(schema) as SchemaNode)).toBe(words);
});
