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
import { namingPath } from '../system-errors.ts';
import { writeFileAtomic } from './files.ts';

/**
 * An append-only file of one JSON object a line. A process killed while it writes leaves at most a torn last line,
 * which `readJsonLines` ignores and opening the file again at the length that a checkpoint knows (`keepBytes`) cuts off.
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
    try {
      while (written < line.byteLength) {
        written += writeSync(this.#fd, line, written, line.byteLength - written, this.#bytes + written);
      }
    } catch (error) {
      throw namingPath(error, this.path);
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

/**
 * Reads complete lines. A last line without its newline is torn and ignored; any other damage is an error. Line by line:
 * a string has an upper limit (half a gigabyte in V8) that files of answers exceed.
 */
export function readJsonLines(path: string): JsonLines {
  const bytes = readFileSync(path);
  const records: unknown[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    records.push(parseLine(bytes.toString('utf8', start, end), path, records.length + 1));
    start = end + 1;
  }
  return { records, completeBytes: start };
}

function parseLine(text: string, file: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError('jsonl-damaged', `Line ${line} of ${file} is not JSON: ${text.slice(0, 80)}`, {
      at: { file, line },
      hint: 'The file was changed by something else; delete it or restore it.',
      cause,
    });
  }
}

/** A whole file of records, one a line: readers see the old file or the new. In memory there is a line at a time. */
export function writeJsonLines(path: string, records: Iterable<unknown>): void {
  writeFileAtomic(path, lines(records));
}

function* lines(records: Iterable<unknown>): Generator<string> {
  for (const record of records) yield `${JSON.stringify(record)}\n`;
}
