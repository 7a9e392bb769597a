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
