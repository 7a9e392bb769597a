import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { DataError } from '../errors.ts';
import { writeFileAtomic } from './files.ts';

/**
 * An append-only file of one JSON object a line. A process killed while it writes leaves at most a torn last line,
 * which `readJsonLines` ignores and `truncate` removes.
 */
export class JsonLinesWriter {
  readonly path: string;
  #fd: number;
  #bytes: number;

  /** Opens for appending; everything past `keepBytes` is cut (default: nothing is). */
  constructor(path: string, keepBytes?: number) {
    this.path = path;
    this.#fd = openSync(path, existsSync(path) ? 'r+' : 'w+');
    const length = fstatSync(this.#fd).size;
    this.#bytes = Math.min(keepBytes ?? length, length);
    if (this.#bytes < length) ftruncateSync(this.#fd, this.#bytes);
  }

  /** Length of the file: what a checkpoint remembers, so that a resumed run can cut what came after. */
  get bytes(): number {
    return this.#bytes;
  }

  append(record: unknown): void {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    let written = 0;
    while (written < line.byteLength) {
      written += writeSync(this.#fd, line, written, line.byteLength - written, this.#bytes + written);
    }
    this.#bytes += line.byteLength;
  }

  sync(): void {
    fsyncSync(this.#fd);
  }

  close(): void {
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}

export interface JsonLines {
  readonly records: readonly unknown[];
  /** Bytes up to the end of the last complete line. */
  readonly completeBytes: number;
}

/** Reads complete lines. A last line without its newline is torn and ignored; any other damage is an error. */
export function readJsonLines(path: string): JsonLines {
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf(10) + 1;
  const records = bytes
    .subarray(0, end)
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map((text, index): unknown => {
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw new DataError(
          'jsonl-damaged',
          `Line ${index + 1} of ${path} is not JSON: ${text.slice(0, 80)}`,
          {
            at: { file: path, line: index + 1 },
            hint: 'The file was changed by something else; delete it or restore it.',
            cause,
          },
        );
      }
    });
  return { records, completeBytes: end };
}

/** A whole file of records at once, one a line: readers see the old file or the new. */
export function writeJsonLines(path: string, records: readonly unknown[]): void {
  writeFileAtomic(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
}
