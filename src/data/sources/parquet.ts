import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataError } from '../../errors.ts';
import type { Row, RowStream } from './contract.ts';

/** Parquet, one row group in memory at a time. `line` is the one-based row. */
export async function* readParquet(file: string, name = file): RowStream {
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await parquetReadObjects({ file: buffer, metadata, compressors, rowStart, rowEnd });
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

/**
 * Parquet's integers arrive as BigInt and its times as Date; the formats expect what JSON can say. Integers that a number
 * cannot hold (64-bit ids) become text.
 */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return Array.from(value as ArrayLike<unknown>, plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  }
  return value;
}
