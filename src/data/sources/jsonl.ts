import { excerpt } from '../text.ts';
import { decodeUtf8, describeInvalidUtf8, MAX_LINE_BYTES, readLines } from './bytes.ts';
import type { Row, RowStream, SourceRow } from './contract.ts';

/** JSON Lines: an object a line. Blank lines are skipped; line numbers are the file's own. */
export const readJsonLines = (file: string, name = file): RowStream => readByLine(file, name, parseJsonRow);

/** Plain text: a row `{text}` a line. Blank lines are skipped. */
export const readTextLines = (file: string, name = file): RowStream =>
  readByLine(file, name, (text, at, line) => ({ file: at, line, row: { text } }));

type ParseLine = (text: string, file: string, line: number) => SourceRow;

async function* readByLine(file: string, name: string, parse: ParseLine): RowStream {
  for await (const { number: line, bytes } of readLines(file)) {
    if (bytes === undefined) {
      const detail = `the line is longer than ${MAX_LINE_BYTES / 2 ** 20} MiB`;
      yield { file: name, line, reason: 'line-too-long', detail };
      continue;
    }
    const text = decodeUtf8(bytes);
    if (text === undefined) {
      yield { file: name, line, reason: 'invalid-utf8', detail: describeInvalidUtf8(bytes) };
    } else if (text.trim() !== '') {
      yield parse(text, name, line);
    }
  }
}

/** One row from its JSON text. */
export function parseJsonRow(text: string, file: string, line: number): SourceRow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return {
      file,
      line,
      reason: 'invalid-json',
      detail: `${(error as Error).message} in ${excerpt(text, 60)}`,
    };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { file, line, reason: 'wrong-type', detail: `expected an object, received ${excerpt(value, 60)}` };
  }
  return { file, line, row: value as Row };
}
