import { UsageError } from '../../errors.ts';
import { excerpt } from '../text.ts';
import type { Row, RowStream, Rows } from './contract.ts';
import { asRow, jsonScalar } from './row.ts';

/** What messages, provenance and model cards call rows that come from no file. */
export const MEMORY = 'memory';

/** Rows as a program gives them, in order; the line of each is its one-based place. */
export async function* readMemory(rows: Rows): RowStream {
  let line = 0;
  for await (const value of rows) {
    const item = asRow(value, MEMORY, ++line);
    yield 'row' in item ? { ...item, row: withJsonScalars(item.row) } : item;
  }
}

/** Throws `UsageError` for what is neither a name of data nor rows. */
export function requireRows(source: unknown): asserts source is Rows {
  const given = source as Partial<Iterable<object> & AsyncIterable<object>> | null | undefined;
  if (typeof given?.[Symbol.iterator] === 'function') return;
  if (typeof given?.[Symbol.asyncIterator] === 'function') return;
  throw new UsageError(
    'data-source',
    `Data are a path, several paths, or rows: an array or a (sync or async) iterable of objects; received ${describe(source)}.`,
    {
      hint:
        typeof source === 'function'
          ? 'Call the generator function, and give what it returns.'
          : 'Give the array or the stream itself; await a promise of it.',
    },
  );
}

function describe(source: unknown): string {
  if (typeof source === 'function') return `a function${source.name && ` ${source.name}`}`;
  return source instanceof Promise ? 'a promise' : excerpt(source, 60);
}

/** Drivers of databases give counts and 64-bit ids as BigInt, times as Date, and BLOB columns as bytes. */
function withJsonScalars(row: Row): Row {
  const columns = Object.keys(row);
  if (columns.every((column) => jsonScalar(row[column]) === row[column])) return row;
  return Object.fromEntries(columns.map((column) => [column, jsonScalar(row[column])]));
}
