import { z } from 'zod';
import { accepts, type SchemaNode } from '../schema-words.ts';

/** One key of a recipe, for documentation. */
export interface KeyDescription {
  /** `optimizer.lr` */
  readonly key: string;
  /** `number > 0`, `adamw | rmsprop | sgd` */
  readonly accepts: string;
  /** As YAML; absent when the key has none. */
  readonly default: string | undefined;
  readonly description: string;
}

/** JSON Schema of a recipe, for editors: `# yaml-language-server: $schema=recipe.schema.json`. */
export function recipeJsonSchema(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { io: 'input' });
}

/** Every key of a recipe in the schema's order. */
export function describeKeys(schema: z.ZodType): KeyDescription[] {
  const keys: KeyDescription[] = [];
  const walk = (node: SchemaNode, path: string): void => {
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      const key = path === '' ? name : `${path}.${name}`;
      if (child.properties !== undefined) {
        // A section that is not there by default is a choice of its own.
        if (child.default === undefined) {
          keys.push({
            key,
            accepts: 'the keys below',
            default: undefined,
            description: child.description ?? '',
          });
        }
        walk(child, key);
      } else {
        keys.push({
          key,
          accepts: accepts(child),
          default:
            child.default === undefined ? undefined : JSON.stringify(child.default).replace(/^"(.*)"$/, '$1'),
          description: child.description ?? '',
        });
      }
    }
  };
  walk(recipeJsonSchema(schema) as SchemaNode, '');
  return keys;
}
