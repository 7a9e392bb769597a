import { z } from 'zod';

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
  const walk = (node: Node, path: string): void => {
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
  walk(recipeJsonSchema(schema) as Node, '');
  return keys;
}

/** The part of JSON Schema that recipes use. */
interface Node {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly enum?: readonly unknown[];
  readonly items?: Node;
  readonly additionalProperties?: Node | boolean;
  readonly prefixItems?: readonly Node[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

function accepts(node: Node): string {
  if (node.enum !== undefined) return node.enum.join(' | ');
  if (node.type === 'boolean') return 'true | false';
  if (node.type === 'string') return 'text';
  if (node.type === 'array') {
    const items = node.prefixItems ?? (node.items === undefined ? [] : [node.items]);
    return `[${items.map(accepts).join(', ')}${node.prefixItems === undefined ? ', …' : ''}]`;
  }
  if (node.type === 'object') {
    const { additionalProperties: values } = node;
    return `{name: ${typeof values === 'object' ? accepts(values) : 'anything'}, …}`;
  }
  const bounds = [
    node.exclusiveMinimum !== undefined && `> ${node.exclusiveMinimum}`,
    node.minimum !== undefined && node.minimum > Number.MIN_SAFE_INTEGER && `≥ ${node.minimum}`,
    node.exclusiveMaximum !== undefined && `< ${node.exclusiveMaximum}`,
    node.maximum !== undefined && node.maximum < Number.MAX_SAFE_INTEGER && `≤ ${node.maximum}`,
  ].filter((bound) => bound !== false);
  return [node.type === 'integer' ? 'whole number' : 'number', bounds.join(' and ')]
    .filter(Boolean)
    .join(' ');
}
