import type { Template } from '@huggingface/jinja';

/**
 * Python's `str.strip`, `lstrip` and `rstrip` for templates. The template library's own ignore which characters to strip and
 * take all white space: Qwen3's `content.lstrip('\n')` would lose the indentation that an answer begins with.
 */

/** The functions that `withPythonStrings` calls, by the names that it calls them by. */
export const STRING_FUNCTIONS = {
  __strip: (text: string, characters?: string | null) => rstrip(lstrip(text, characters), characters),
  __lstrip: lstrip,
  __rstrip: rstrip,
};

type Parsed = Template['parsed'];

/** A parsed template, changed so that it strips as Python does. */
export function withPythonStrings(template: Parsed): Parsed {
  rewrite(template);
  return template;
}

/** What is looked at of a node of a parsed template. */
interface Node {
  type?: string;
  value?: unknown;
  object?: Node;
  property?: Node;
  computed?: boolean;
  callee?: Node;
  args?: readonly Node[];
}

/** Replaces calls `text.strip(…)` by `__strip(text, …)` in a node and all below it; an object's entries are a Map. */
function rewrite(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const call = node as Node;
  const { object, property, computed } = call.callee ?? {};
  if (call.type === 'CallExpression' && object !== undefined && property !== undefined && !computed) {
    const name = `__${property.value}`;
    if (Object.hasOwn(STRING_FUNCTIONS, name)) {
      call.args = [object, ...(call.args ?? [])];
      call.callee = { type: 'Identifier', value: name };
    }
  }
  for (const child of node instanceof Map ? [...node].flat() : Object.values(node)) rewrite(child);
}

function lstrip(text: string, characters?: string | null): string {
  const points = [...text];
  const kept = points.findIndex((point) => !isStripped(point, characters));
  return kept < 0 ? '' : points.slice(kept).join('');
}

function rstrip(text: string, characters?: string | null): string {
  const points = [...text];
  return points.slice(0, points.findLastIndex((point) => !isStripped(point, characters)) + 1).join('');
}

function isStripped(point: string, characters: string | null | undefined): boolean {
  return characters == null ? isSpace(point) : characters.includes(point);
}

/** Python's `str.isspace`: unlike JavaScript's `\s` with the separators 1C to 1F and 85, without the byte-order mark. */
function isSpace(point: string): boolean {
  const code = point.codePointAt(0)!;
  return (/\s/u.test(point) && code !== 0xfeff) || (code >= 0x1c && code <= 0x1f) || code === 0x85;
}
