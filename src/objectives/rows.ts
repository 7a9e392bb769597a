import { DataError, type SourceLocation } from '../errors.ts';

/** A row of data as a person can find it. */
export interface NamedRow {
  readonly id: string;
  readonly at?: SourceLocation;
}

/** The first few of many. */
function nameRows(rows: readonly NamedRow[]): string {
  const shown = rows
    .slice(0, 5)
    .map(({ id, at }) => (at ? `'${id}' (${at.file}:${at.line ?? '?'})` : `'${id}'`));
  return rows.length > shown.length
    ? `${shown.join(', ')} and ${rows.length - shown.length} more`
    : shown.join(', ');
}

/** Throws a `DataError` that says what the rows have (`no votes`) and names them; no rows, no error. */
export function rejectRows(rows: readonly NamedRow[], code: string, what: string, hint: string): void {
  const first = rows[0];
  if (first === undefined) return;
  const subject = rows.length === 1 ? '1 pair has' : `${rows.length} pairs have`;
  throw new DataError(code, `${subject} ${what}: ${nameRows(rows)}.`, {
    hint,
    ...(first.at && { at: first.at }),
  });
}
