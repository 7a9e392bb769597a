import {
  asyncBufferFromFile,
  type ParquetParsers,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataError } from '../../errors.ts';
import { decodeUtf8, InvalidText } from './bytes.ts';
import type { Row, RowStream } from './contract.ts';
import { jsonScalar } from './row.ts';

/** Parquet, one row group in memory at a time. `line` is the one-based row. */
export async function* readParquet(file: string, name = file): RowStream {
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await parquetReadObjects({
        file: buffer,
        metadata,
        compressors,
        parsers: PARSERS,
        rowStart,
        rowEnd,
      });
      for (const [i, row] of rows.entries())
        yield { file: name, line: rowStart + i + 1, row: plain(row) as Row };
      rowStart = rowEnd;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError('damaged-file', `${name} cannot be read as Parquet: ${(cause as Error).message}.`, {
      hint: 'Download or write the file again.',
      at: { file: name },
      cause,
    });
  }
}

/** The library's own decoding replaces what is not UTF-8 by other characters. */
function decode(bytes: Uint8Array): string | InvalidText {
  return decodeUtf8(bytes) ?? new InvalidText(bytes);
}

/** Values that a column leaves out reach these as undefined, whatever the library's types say. */
const PARSERS: Partial<ParquetParsers> = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decode(bytes),
  jsonFromBytes(bytes: Uint8Array | undefined) {
    const text = bytes && decode(bytes);
    return typeof text === 'string' ? JSON.parse(text) : text;
  },
};

/** Parquet's integers arrive as BigInt and its times as Date, inside lists and records too. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return jsonScalar(value);
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return Array.from(value as ArrayLike<unknown>, plain);
  if (typeof value === 'object' && value !== null && !(value instanceof InvalidText)) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  }
  return jsonScalar(value);
}
