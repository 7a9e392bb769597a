// From operators.txt to signatures: names as TypeScript spells them, positional and keyword arguments apart.

/** Keyword arguments that have no use here: one layout, one memory format, no pinned memory. */
const hiddenArguments = new Set(['layout', 'pin_memory', 'memory_format', 'implicit']);

/**
 * @typedef {{ name: string, kind: string, required: boolean, nullable: boolean, fixedLength: number }} Argument
 * @typedef {{
 *   qualified: string, overload: string, name: string, text: string,
 *   arguments: (Argument & { keyword: boolean, hidden: boolean })[], returns: string[], inPlace: boolean,
 * }} Signature
 */

/** @returns {Map<string, Signature[]>} signatures by TypeScript name, in the list's order */
export function parseOperators(list, schemaOf) {
  const functions = new Map();
  for (const [index, raw] of list.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = /^(\w+::\w+)(?:\.(\w+))?(?: as (\w+))?$/.exec(line);
    if (match === null)
      throw new Error(`operators.txt:${index + 1}: expected "namespace::name.overload", got "${line}"`);
    const [, qualified, overload = '', alias] = match;
    const name = alias ?? camelCase(qualified.split('::')[1]);
    const signature = toSignature(qualified, overload, name, schemaOf(qualified, overload));
    functions.set(name, [...(functions.get(name) ?? []), signature]);
  }
  return functions;
}

function toSignature(qualified, overload, name, schema) {
  const entries = schema.arguments.map((argument) => ({
    name: camelCase(argument.name),
    kind: argument.kind,
    required: !argument.hasDefault && !argument.optional,
    nullable: argument.optional,
    fixedLength: argument.fixedLength,
    // Some schemas let `alpha` be positional in one overload and not in the other; here it is an option in all.
    keyword: argument.keywordOnly || argument.name === 'alpha',
    hidden: hiddenArguments.has(argument.name),
  }));
  const unsupported = entries.find((entry) => entry.kind === 'unsupported' && !entry.hidden);
  if (unsupported !== undefined)
    throw new Error(`${qualified}.${overload}: argument ${unsupported.name} has no JavaScript form`);
  return {
    qualified,
    overload,
    name,
    text: schema.text,
    arguments: entries,
    returns: schema.returns.map((entry) => entry.kind),
    inPlace: schema.returnsFirstArgument,
  };
}

/** `_fused_adamw_` → `_fusedAdamw_`: inner underscores become capitals, outer ones stay. */
export function camelCase(name) {
  const [, lead, body, tail] = /^(_*)(.*?)(_*)$/.exec(name);
  return lead + body.replace(/_+(\w)/g, (_, letter) => letter.toUpperCase()) + tail;
}
