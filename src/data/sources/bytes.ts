import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../errors.ts';

/** A line longer than this is reported instead of being held in memory. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** The bytes of a file, decompressed when it is gzip (told by its first bytes, whatever its name). */
export async function openBytes(file: string): Promise<Readable> {
  const magic = await firstBytes(file, 4);
  if ((magic[0] === 0xff && magic[1] === 0xfe) || (magic[0] === 0xfe && magic[1] === 0xff)) {
    throw new DataError('unsupported-encoding', `${file} is UTF-16; text data must be UTF-8.`, {
      hint: `Convert it: iconv -f UTF-16 -t UTF-8 < ${file} > utf8-copy`,
      at: { file },
    });
  }
  const bytes = createReadStream(file);
  if (!(magic[0] === 0x1f && magic[1] === 0x8b)) return bytes;
  const gunzip = createGunzip();
  bytes.on('error', (error) => gunzip.destroy(error));
  return bytes.pipe(gunzip);
}

async function firstBytes(file: string, count: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Runs a reader over a file's bytes, turning damage of the compressed stream into a `DataError`. */
export async function* readChunks(file: string): AsyncGenerator<Buffer> {
  const bytes = await openBytes(file);
  try {
    for await (const chunk of bytes) yield chunk as Buffer;
  } catch (cause) {
    throw new DataError('damaged-file', `${file} cannot be read to its end: ${(cause as Error).message}.`, {
      hint: 'Download or write the file again; a compressed file that was cut short looks like this.',
      at: { file },
      cause,
    });
  } finally {
    bytes.destroy();
  }
}

/** Pieces of a text that chunks have cut, up to a limit of bytes: past it only the count matters. */
export class Pieces {
  readonly #limit: number;
  #held: Buffer[] = [];
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= this.#limit) this.#held.push(piece);
    else this.#held = [];
  }

  /** The whole with its last piece, or undefined when it is longer than the limit; then empty again. */
  take(last: Buffer): Buffer | undefined {
    const [held, bytes] = [this.#held, this.#bytes + last.length];
    [this.#held, this.#bytes] = [[], 0];
    if (bytes > this.#limit) return undefined;
    return held.length === 0 ? last : Buffer.concat([...held, last]);
  }
}

export interface ByteLine {
  /** One-based. */
  readonly number: number;
  /** Without the line break. Absent when the line was longer than `MAX_LINE_BYTES`. */
  readonly bytes: Buffer | undefined;
}

/** Lines of a file as bytes; `\n` and `\r\n` both end a line, and a byte-order mark at the start is dropped. */
export async function* readLines(file: string, maxBytes = MAX_LINE_BYTES): AsyncGenerator<ByteLine> {
  let number = 0;
  const pieces = new Pieces(maxBytes);
  const take = (last: Buffer): ByteLine => {
    number++;
    let bytes = pieces.take(last);
    if (number === 1 && bytes?.[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
      bytes = bytes.subarray(3);
    if (bytes?.at(-1) === 0x0d) bytes = bytes.subarray(0, -1);
    return { number, bytes };
  };
  for await (const chunk of readChunks(file)) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      yield take(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) pieces.add(chunk.subarray(start));
  }
  if (pieces.bytes > 0) yield take(Buffer.alloc(0));
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/** The text of some bytes, or undefined when they are not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch (error) {
    // Whatever else stands in the way, such as a text longer than a string can be, says nothing of the bytes.
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return undefined;
    throw error;
  }
}

/** Where bytes stop being UTF-8, for messages. */
export function describeInvalidUtf8(bytes: Uint8Array): string {
  let valid = 0;
  let invalid = bytes.length;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (isUtf8Prefix(bytes.subarray(0, middle))) valid = middle;
    else invalid = middle;
  }
  // The prefix may end inside a character: that character is the broken one.
  while (valid > 0 && decodeUtf8(bytes.subarray(0, valid)) === undefined) valid--;
  const near = Buffer.from(bytes.subarray(Math.max(0, valid - 16), valid)).toString('utf8');
  return `not valid UTF-8 at byte ${valid + 1} (0x${bytes[valid]?.toString(16).padStart(2, '0')}, after "${near}")`;
}

/** Whether some bytes are UTF-8, or could be if more followed. */
function isUtf8Prefix(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * Bytes of a typed column that are not UTF-8. They may be no text at all (an image), so that only reading them as text is
 * a fault of their row.
 */
export class InvalidText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  toJSON(): string {
    return describeInvalidUtf8(this.bytes);
  }
}
