import type { TextOrChat } from './contract.ts';

/** The words of a text or chat, for people and for checks: contents one after another. */
export function plainText(value: TextOrChat): string {
  return typeof value === 'string' ? value : value.map((message) => message.content).join('\n');
}

/** Shortens what was received, so that an error message stays readable: one line, at most `limit` characters. */
export function excerpt(value: unknown, limit = 120): string {
  const text = typeof value === 'string' ? value : safeStringify(value);
  const line = text
    .slice(0, limit * 4)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

function safeStringify(value: unknown): string {
  try {
    return (
      JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? Number(part) : part)) ?? String(value)
    );
  } catch {
    return typeof value;
  }
}
