import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { DataError } from '../../errors.ts';
import { excerpt } from '../text.ts';
import { decodeUtf8, describeInvalidUtf8, MAX_LINE_BYTES, readChunks } from './bytes.ts';
import type { RowStream, SourceRow } from './contract.ts';

interface ParsedRecord {
  readonly record: readonly string[];
  readonly info: { readonly empty_lines: number };
}

/**
 * CSV (RFC 4180) with a header line; `delimiter` is a tab for TSV. Every value is a string. `line` is where a record
 * begins, which quoted line breaks set apart from the record's number. Empty fields of columns without a name, as
 * spreadsheets append them, are left out. Broken quoting is an error of the file, not of a row: nobody can tell where the
 * next record begins.
 */
export async function* readCsv(file: string, name = file, delimiter = ','): RowStream {
  // Bytes pass through the parser as Latin-1 (one character a byte), so that invalid UTF-8 is found by field.
  const parser = parse({
    delimiter,
    encoding: 'latin1',
    record_delimiter: ['\r\n', '\n'],
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  let next = 1;
  let emptyLines = 0;
  const bytes = Readable.from(withoutByteOrderMark(readChunks(file)));
  bytes.on('error', (error) => parser.destroy(error));
  bytes.pipe(parser);

  let header: string[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedRecord>) {
      const line = next + info.empty_lines - emptyLines;
      next = line + 1 + lineBreaks(record);
      emptyLines = info.empty_lines;
      if (header === undefined) {
        header = record.map((field) => decodeUtf8(Buffer.from(field, 'latin1')) ?? field);
        checkHeader(header, name);
      } else yield toRow(record, header, name, line);
    }
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const at = { file: name, line: Number(cause.lines) };
    throw new DataError('invalid-csv', `${name} cannot be read as CSV: ${cause.message}.`, {
      hint: 'Quote fields that hold commas, quotes or line breaks, and write a quote inside them twice.',
      at,
      cause,
    });
  } finally {
    bytes.destroy();
  }
}

/** Line breaks inside a record's quoted fields. */
function lineBreaks(record: readonly string[]): number {
  return record.reduce((count, field) => count + field.split('\n').length - 1, 0);
}

function checkHeader(header: readonly string[], file: string): void {
  const repeated = header.find((column, i) => column !== '' && header.indexOf(column) !== i);
  if (repeated !== undefined) {
    throw new DataError('repeated-column', `${file} has two columns named "${repeated}".`, {
      hint: 'Rename or remove one of them.',
      at: { file, line: 1 },
    });
  }
}

function toRow(record: readonly string[], header: readonly string[], file: string, line: number): SourceRow {
  if (record.length !== header.length) {
    const detail = `expected ${header.length} fields as in the header, received ${record.length}: ${excerpt(record, 60)}`;
    return { file, line, reason: 'invalid-csv', detail };
  }
  const fields: [string, string][] = [];
  for (const [i, column] of header.entries()) {
    const bytes = Buffer.from(record[i]!, 'latin1');
    const text = decodeUtf8(bytes);
    if (text === undefined) {
      return {
        file,
        line,
        reason: 'invalid-utf8',
        detail: `field "${column}": ${describeInvalidUtf8(bytes)}`,
      };
    }
    if (column === '' && text.trim() === '') continue;
    if (header.indexOf(column) !== i) {
      const detail = `field ${i + 1} is in another column without a name: ${excerpt(text, 60)}`;
      return { file, line, reason: 'invalid-csv', detail };
    }
    fields.push([column, text]);
  }
  return { file, line, row: Object.fromEntries(fields) };
}

async function* withoutByteOrderMark(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let first = true;
  for await (const chunk of chunks) {
    yield first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk;
    first = false;
  }
}
