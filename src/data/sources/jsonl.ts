import { excerpt } from '../text.ts';
import { decodeUtf8, describeInvalidUtf8, MAX_LINE_BYTES, readLines } from './bytes.ts';
import type { RowStream, SourceRow } from './contract.ts';
import { asRow } from './row.ts';

/** JSON Lines: an object a line. Blank lines are skipped; line numbers are the file's own. */
export const readJsonLines = (file: string, name = file): RowStream => readByLine(file, name, parseJsonRow);

/** Plain text: a row `{text}` a line. Blank lines are skipped. */
export const readTextLines = (file: string, name = file): RowStream =>
  readByLine(file, name, (text, at, line) => ({ file: at, line, row: { text } }));

type ParseText = (text: string, file: string, line: number) => SourceRow;

async function* readByLine(file: string, name: string, parse: ParseText): RowStream {
  for await (const { number, bytes } of readLines(file)) {
    const row = parseBytes(bytes, name, number, parse);
    if (row !== undefined) yield row;
  }
}

/** The row of a line's bytes, or of an array element's; undefined when they are blank. Absent bytes were too many. */
export function parseBytes(
  bytes: Buffer | undefined,
  file: string,
  line: number,
  parse: ParseText,
): SourceRow | undefined {
  if (bytes === undefined) {
    const detail = `one row is longer than ${MAX_LINE_BYTES / 2 ** 20} MiB`;
    return { file, line, reason: 'line-too-long', detail };
  }
  const text = decodeUtf8(bytes);
  if (text === undefined) return { file, line, reason: 'invalid-utf8', detail: describeInvalidUtf8(bytes) };
  return text.trim() === '' ? undefined : parse(text, file, line);
}

/** One row from its JSON text. */
export function parseJsonRow(text: string, file: string, line: number): SourceRow {
  let value: unknown;
  try {
    value = JSON.parse(LONG_NUMBER.test(text) ? quoteLongIntegers(text) : text);
  } catch (error) {
    return {
      file,
      line,
      reason: 'invalid-json',
      detail: `${(error as Error).message} in ${excerpt(text, 60)}`,
    };
  }
  return asRow(value, file, line);
}

/** May be a number that a double does not hold. */
const LONG_NUMBER = /[\s:,[-]\d{16}/;
const ESCAPE_QUOTE_OR_NUMBER = /\\.|"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;

/** Whole numbers of more digits than a double holds, such as 64-bit ids, as text: parsed, they would be other numbers. */
function quoteLongIntegers(text: string): string {
  let inString = false;
  return text.replace(ESCAPE_QUOTE_OR_NUMBER, (token) => {
    if (token === '"') inString = !inString;
    const long = !inString && /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
    return long ? `"${token}"` : token;
  });
}
