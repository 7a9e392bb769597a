import { DataError } from '../../errors.ts';
import { MAX_LINE_BYTES, Pieces, readChunks } from './bytes.ts';
import type { RowStream } from './contract.ts';
import { parseBytes, parseJsonRow, readJsonLines } from './jsonl.ts';

/**
 * A `.json` file: an array of objects, or JSON Lines under that name (as many data sets on the hub are). The line of an
 * array's element is where it begins. Both are read a row at a time.
 */
export async function* readJson(file: string, name = file): RowStream {
  if ((await firstCharacter(file)) !== OPEN_ARRAY) {
    yield* readJsonLines(file, name);
    return;
  }
  for await (const { line, bytes } of readElements(file, name)) {
    const row = parseBytes(bytes, name, line, parseJsonRow);
    if (row !== undefined) yield row;
  }
}

/** The first byte that is neither white space nor of a byte-order mark. */
async function firstCharacter(file: string): Promise<number | undefined> {
  for await (const chunk of readChunks(file)) {
    const character = chunk.find((byte) => byte > SPACE && !BYTE_ORDER_MARK.includes(byte));
    if (character !== undefined) return character;
  }
  return undefined;
}

interface Element {
  /** One-based. */
  readonly line: number;
  /** Absent when the element was longer than the limit. */
  readonly bytes: Buffer | undefined;
}

/**
 * Cuts an array into its elements without parsing them, so that one broken element leaves the others readable. Throws
 * `DataError` where the array does not end with the file: rows that follow it would be lost.
 */
export async function* readElements(
  file: string,
  name = file,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<Element> {
  const scanner = new ArrayScanner();
  const pieces = new Pieces(maxBytes);
  /** Where the element began that is being read; 0 between elements. */
  let line = 0;
  let ended = false;
  for await (const chunk of readChunks(file)) {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const place = scanner.next(chunk[i]!);
      if (ended && chunk[i]! > SPACE) throw textFollows(name, scanner.line);
      if (place === 'inside' && line === 0) [start, line] = [i, scanner.line];
      if (place !== 'between' && place !== 'end') continue;
      if (line > 0) yield { line, bytes: pieces.take(chunk.subarray(start, i)) };
      line = 0;
      if (place === 'end') ended = true;
    }
    if (line > 0) pieces.add(chunk.subarray(start));
  }
  if (ended) return;
  throw new DataError('damaged-file', `${name} ends inside its JSON array (line ${scanner.line}).`, {
    hint: 'Write or download the file again, or use one object a line (.jsonl).',
    at: { file: name, line: scanner.line },
  });
}

function textFollows(name: string, line: number): DataError {
  return new DataError('damaged-file', `${name} goes on after the end of its JSON array (line ${line}).`, {
    hint: 'Put all rows into one array, or use one object a line (.jsonl); look for a bracket too many, or files that were joined.',
    at: { file: name, line },
  });
}

/** Follows an array by its bytes: in UTF-8, those of JSON's own characters are part of no other. */
class ArrayScanner {
  /** One-based, of the last byte. */
  line = 1;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** What a byte is to the array: of an element, a comma between two, its end, or nothing. */
  next(byte: number): 'inside' | 'between' | 'end' | undefined {
    if (byte === NEWLINE) this.line++;
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return 'inside';
    }
    if (this.#depth === 1 && byte === COMMA) return 'between';
    if (this.#depth === 1 && byte === CLOSE_ARRAY) return 'end';
    const outside = this.#depth === 0 || byte <= SPACE;
    if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.#depth++;
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.#depth--;
    return outside ? undefined : 'inside';
  }
}

const BYTE_ORDER_MARK: readonly number[] = [0xef, 0xbb, 0xbf];
const NEWLINE = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
