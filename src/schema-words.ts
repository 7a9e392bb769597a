/** The part of JSON Schema that recipes and the options of objectives use. */
export interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly prefixItems?: readonly SchemaNode[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** What a value may be, for people: `number > 0`, `adamw | rmsprop | sgd`. */
export function accepts(node: SchemaNode): string {
  if (node.anyOf !== undefined) return node.anyOf.map(accepts).join(' or ');
  if (node.enum !== undefined) return node.enum.join(' | ');
  if (node.const !== undefined) return String(node.const);
  switch (node.type) {
    case 'boolean':
      return 'true | false';
    case 'string':
      return 'text';
    case 'array':
      return listOf(node);
    case 'object':
      return objectOf(node);
    default:
      return numberIn(node);
  }
}

function listOf({ items, prefixItems }: SchemaNode): string {
  if (prefixItems !== undefined) return `[${prefixItems.map(accepts).join(', ')}]`;
  return `[${items === undefined ? '' : accepts(items)}, …]`;
}

function objectOf({ additionalProperties: values }: SchemaNode): string {
  return `{name: ${typeof values === 'object' ? accepts(values) : 'anything'}, …}`;
}

function numberIn({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }: SchemaNode): string {
  // A whole number is bounded by what is exact in any case.
  const bounds = [
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `≥ ${minimum}`,
    exclusiveMaximum !== undefined && `< ${exclusiveMaximum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `≤ ${maximum}`,
  ].filter((bound) => bound !== false);
  return [type === 'integer' ? 'whole number' : 'number', bounds.join(' and ')].filter(Boolean).join(' ');
}
