import { DataError, type SourceLocation } from '../errors.ts';
import { suggest } from '../suggest.ts';
import type { BadRow, BadRowReason, Dataset } from './contract.ts';
import { has, RowError } from './fields.ts';
import type { Draft, RowFormat } from './formats/contract.ts';
import { formatNamed } from './formats/named.ts';
import { hashValues } from './hash.ts';
import type { OpenSource, Row, RowStream, SourceRow } from './sources/index.ts';
import { excerpt } from './text.ts';

/** What every loader of rows understands. */
export interface ReadOptions {
  /** Name of the format; absent: detected from the columns. */
  readonly format?: string;
  /** Stops at the first bad row with a `DataError` instead of listing it. */
  readonly strict?: boolean;
  /** Keeps the first so many examples. */
  readonly limit?: number;
  /** Our column name → the data's, for data that calls things otherwise: `{ prompt: 'query' }`. */
  readonly columns?: Readonly<Record<string, string>>;
  /** Stops between two rows by throwing the signal's reason; a stream of rows is closed. */
  readonly signal?: AbortSignal;
}

/** What is read: the layouts it may have, and what turns a format's draft into an example. */
export interface Reading<E extends { readonly id: string }> {
  readonly formats: readonly RowFormat<E>[];
  readonly dialogue: 'chat' | 'text';
  /** Checks and completes a draft. Throws `RowError` when the row cannot be used. */
  readonly finish: (draft: Draft<E>, id: string) => E;
}

/** Rows from which the format is detected. */
const DETECTION_ROWS = 64;

/** Rows after which timers and signals have their turn: an array or a generator gives rows without ever waiting. */
const ROWS_BETWEEN_PAUSES = 256;

/**
 * Reads a source's rows through a format: detects it, gives ids, counts and lists every row that was left out. Throws
 * `DataError` when no row is usable, when two ids are equal, and at the first bad row when `strict`.
 */
export async function readExamples<E extends { readonly id: string }>(
  source: OpenSource,
  { formats, dialogue, finish }: Reading<E>,
  options: ReadOptions = {},
): Promise<Dataset<E>> {
  const { strict = false, limit = Number.POSITIVE_INFINITY, columns, signal } = options;
  const examples = new Examples<E>();
  const badRows: BadRow[] = [];
  let rowNumber = 0;

  const reject = (at: SourceRow, reason: BadRowReason, detail: string, id?: string) => {
    const badRow = { file: at.file, line: at.line, reason, detail, ...(id !== undefined && { id }) };
    if (strict) throw rejectStrictly(badRow);
    badRows.push(badRow);
  };

  const take = (item: SourceRow, format: RowFormat<E>) => {
    const number = String(rowNumber++);
    if (!('row' in item)) {
      reject(item, item.reason, item.detail);
      return;
    }
    let id: string | undefined;
    try {
      const report = (reason: BadRowReason, detail: string) => reject(item, reason, detail, number);
      for (const draft of format.read(item.row, { dialogue, report })) {
        id = (draft.id ?? number) + (draft.part === undefined ? '' : `:${draft.part}`);
        const example = finish(draft, id);
        if (examples.list.length >= limit) return;
        examples.add(example, draft.id !== undefined, { file: item.file, line: item.line });
      }
    } catch (error) {
      if (error instanceof RowError) reject(item, error.reason, error.message, id);
      else if (isStackOverflow(error)) reject(item, 'wrong-type', 'nested too deeply to read', id);
      else throw error;
    }
  };

  let format = options.format === undefined ? undefined : formatNamed(formats, options.format);
  let waiting: SourceRow[] = [];
  let readable = 0;
  const settle = () => {
    format ??= detectFormat(waiting, formats, source.name);
    for (const item of waiting) take(item, format);
    waiting = [];
  };
  for await (const read of signal === undefined ? source.rows() : interruptible(source.rows(), signal)) {
    waiting.push(columns !== undefined && 'row' in read ? { ...read, row: rename(read.row, columns) } : read);
    if ('row' in read) readable++;
    if (format !== undefined || readable >= DETECTION_ROWS) settle();
    if (examples.list.length >= limit) break;
  }
  settle();
  if (examples.list.length === 0) throw noUsableRows(source.name, badRows, format?.layout ?? '');
  return {
    examples: examples.list,
    locations: examples.locations,
    badRows,
    format: format?.name ?? '',
    hash: hashValues(examples.list),
    source: source.name,
  };
}

/** Rows until the signal fires. */
async function* interruptible(rows: RowStream, signal: AbortSignal): RowStream {
  signal.throwIfAborted();
  let count = 0;
  for await (const row of rows) {
    if (++count % ROWS_BETWEEN_PAUSES === 0) await new Promise(setImmediate);
    signal.throwIfAborted();
    yield row;
  }
}

/** Data nested so deeply that reading it ran out of stack is the row's fault. */
const isStackOverflow = (error: unknown) => error instanceof RangeError && /call stack/.test(error.message);

/** The format that fits the most rows; of several, the most particular. */
function detectFormat<E extends { readonly id: string }>(
  items: readonly SourceRow[],
  formats: readonly RowFormat<E>[],
  source: string,
): RowFormat<E> {
  const rows = items.flatMap((item) => ('row' in item ? [item.row] : []));
  if (items.length === 0)
    throw new DataError('empty-file', `${source} holds no rows.`, { at: { file: source } });
  if (rows.length === 0) {
    const bad = items.flatMap((item) => ('reason' in item ? [item] : []));
    throw noUsableRows(source, bad, formats.map((format) => format.layout).join(', or '));
  }
  let best: RowFormat<E> | undefined;
  let bestCount = 0;
  for (const format of formats) {
    const count = rows.filter((row) => format.matches(row)).length;
    if (count > bestCount) [best, bestCount] = [format, count];
  }
  if (best !== undefined) return best;
  throw unknownLayout(rows, formats, source, items[0]!);
}

function unknownLayout<E extends { readonly id: string }>(
  rows: readonly Row[],
  formats: readonly RowFormat<E>[],
  source: string,
  first: SourceRow,
): DataError {
  const named = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const found = named.filter((column) => rows.some((row) => has(row, column)));
  const empty = named.filter((column) => !found.includes(column));
  const without = empty.length > 0 ? `; without a value: ${excerpt(empty.join(', '), 200)}` : '';
  const getters = [...new Set(rows.flatMap(inheritedGetters))];
  const inherited =
    getters.length > 0 ? `; inherited, which makes no columns: ${excerpt(getters.join(', '), 200)}` : '';
  const misspelt = found.flatMap((column) => {
    const known = formats.flatMap((format) => format.columns);
    const near = known.includes(column) ? undefined : suggest(column, known);
    return near === undefined || named.includes(near) ? [] : [`"${column}" looks like "${near}"`];
  });
  const layouts = formats.map((format) => `  ${format.name}: ${format.layout}`).join('\n');
  return new DataError(
    'missing-columns',
    `The columns of ${source} fit no known format. Found: ${excerpt(found.join(', ') || 'none', 200)}${without}${inherited}.\nKnown formats:\n${layouts}`,
    {
      hint:
        getters.length > 0
          ? "Only an object's own properties are columns: give plain objects."
          : `${misspelt.length > 0 ? `${misspelt.join('; ')}. ` : ''}Rename the columns, or map them: columns: { prompt: YOUR_COLUMN }.`,
      at: { file: first.file, line: first.line },
    },
  );
}

/** What a row has from its class only, such as the fields of a record of a database. */
function inheritedGetters(row: Row): string[] {
  const prototype: unknown = Object.getPrototypeOf(row);
  if (prototype === null || prototype === Object.prototype) return [];
  const properties = Object.entries(Object.getOwnPropertyDescriptors(prototype));
  return properties.flatMap(([name, { get }]) => (get === undefined ? [] : [name]));
}

/** Examples in order, each under an id of its own. */
class Examples<E extends { readonly id: string }> {
  readonly list: E[] = [];
  readonly locations: SourceLocation[] = [];
  readonly #ids = new Map<string, { readonly index: number; readonly given: boolean }>();

  /**
   * Throws when the data gives an id twice. A row's number gives way to an equal id of the data, whichever comes first.
   */
  add(example: E, given: boolean, at: SourceLocation): void {
    const before = this.#ids.get(example.id);
    if (given && before?.given) throw duplicateId(example.id, this.locations[before.index]!, at);
    const index = this.list.length;
    this.locations.push(at);
    this.list.push(example);
    if (given && before !== undefined) this.#giveWay(before.index);
    if (given || before === undefined) this.#ids.set(example.id, { index, given });
    else this.#giveWay(index);
  }

  #giveWay(index: number): void {
    const example = this.list[index]!;
    let { id } = example;
    while (this.#ids.has(id)) id = `row-${id}`;
    this.list[index] = { ...example, id };
    this.#ids.set(id, { index, given: false });
  }
}

function duplicateId(id: string, before: SourceLocation, at: SourceLocation): DataError {
  return new DataError(
    'duplicate-id',
    `The id "${id}" is used twice: at ${before.file}:${before.line} and at ${at.file}:${at.line}.`,
    { hint: 'Make ids unique, or remove the column "id": rows are then numbered.', at },
  );
}

/** Gives columns our names. A column of the data that already has such a name gives way. */
function rename(row: Row, columns: Readonly<Record<string, string>>): Row {
  const renamed = Object.entries(columns).filter(([, theirs]) => Object.hasOwn(row, theirs));
  const moved = new Set(renamed.map(([, theirs]) => theirs));
  const kept = Object.entries(row).filter(([column]) => !moved.has(column));
  return Object.fromEntries([...kept, ...renamed.map(([ours, theirs]) => [ours, row[theirs]] as const)]);
}

/** What each reason means, as people read it. */
export const REASONS: Readonly<Record<BadRowReason, string>> = {
  'invalid-json': 'invalid JSON',
  'invalid-csv': 'wrong number of fields',
  'invalid-utf8': 'invalid UTF-8',
  'line-too-long': 'line too long',
  'missing-field': 'missing field',
  'wrong-type': 'wrong kind of value',
  'identical-completions': 'identical completions',
  'empty-completion': 'empty completion',
  'prompt-too-long': 'prompt too long',
  'transcripts-diverge': 'transcripts that part before the last turn',
  'tied-scores': 'a tie',
  'template-refuses': 'refused by the chat template',
};

/** How many bad rows each reason has, the most frequent first. */
export function countReasons(
  badRows: readonly Pick<BadRow, 'reason'>[],
): Partial<Record<BadRowReason, number>> {
  const counts = new Map<BadRowReason, number>();
  for (const { reason } of badRows) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]));
}

/** The same for people: `missing field: 12, invalid JSON: 3`. */
export function summarizeReasons(badRows: readonly Pick<BadRow, 'reason'>[]): string {
  const counts = Object.entries(countReasons(badRows)) as [BadRowReason, number][];
  return counts.map(([reason, count]) => `${REASONS[reason]}: ${count}`).join(', ');
}

/** One bad row for people: `pairs.jsonl:12: identical completions: both completions read Yes.` */
export function describeBadRow({ file, line, reason, detail }: Omit<BadRow, 'id'>): string {
  return `${file}:${line}: ${REASONS[reason]}: ${detail}`;
}

/** The error that a bad row is in strict reading. */
export function rejectStrictly({ file, line, reason, detail }: BadRow): DataError {
  return new DataError(reason, `Bad row: ${REASONS[reason]}: ${detail}.`, {
    hint: 'Correct or remove the row: strict reading stops at the first that cannot be used.',
    at: { file, line },
  });
}

/** The error for data of which nothing is left. */
export function noUsableRows(
  source: string,
  badRows: readonly Omit<BadRow, 'id'>[],
  layout: string,
): DataError {
  const first = badRows.slice(0, 3).map((row) => `  ${describeBadRow(row)}`);
  const at = badRows[0] && { file: badRows[0].file, line: badRows[0].line };
  return new DataError(
    'no-usable-rows',
    `Not one row of ${source} is usable (${summarizeReasons(badRows) || 'no rows'}).\n${first.join('\n')}`,
    { hint: `Expected ${layout}.`, ...(at !== undefined && { at }) },
  );
}
