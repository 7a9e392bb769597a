import { DataError } from '../../errors.ts';
import { decodeUtf8, describeInvalidUtf8, readAll, readLines } from './bytes.ts';
import type { RowStream } from './contract.ts';
import { parseJsonRow, readJsonLines } from './jsonl.ts';

/**
 * A `.json` file: an array of objects, or JSON Lines under that name (as many data sets on the hub are). The line of an
 * array's element is where it begins.
 */
export async function* readJson(file: string, name = file): RowStream {
  if ((await firstCharacter(file)) !== '[') {
    yield* readJsonLines(file, name);
    return;
  }
  const bytes = await readAll(file);
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    throw new DataError('invalid-utf8', `${name} is not valid UTF-8: ${describeInvalidUtf8(bytes)}.`, {
      hint: 'A JSON array is read as a whole; with one object a line (.jsonl) a damaged row costs only itself.',
      at: { file: name },
    });
  }
  for (const { start, end, line } of elements(text, name))
    yield parseJsonRow(text.slice(start, end), name, line);
}

async function firstCharacter(file: string): Promise<string | undefined> {
  for await (const { bytes } of readLines(file)) {
    const text = bytes?.toString('latin1').trim();
    if (text) return text[0];
  }
  return undefined;
}

/** Finds an array's elements without parsing them, so that one broken element leaves the others readable. */
function* elements(text: string, file: string): Generator<{ start: number; end: number; line: number }> {
  let line = 1;
  let depth = 0;
  let start = -1;
  let startLine = 1;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === NEWLINE) line++;
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
      continue;
    }
    if (depth === 1 && start < 0 && code > SPACE && code !== COMMA && code !== CLOSE_ARRAY)
      [start, startLine] = [i, line];
    if (code === QUOTE) inString = true;
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) depth++;
    else if (depth === 1 && (code === COMMA || code === CLOSE_ARRAY)) {
      if (start >= 0) yield { start, end: i, line: startLine };
      start = -1;
      if (code === CLOSE_ARRAY) return;
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth--;
  }
  throw new DataError('damaged-file', `${file} ends inside its JSON array (line ${line}).`, {
    hint: 'Write or download the file again, or use one object a line (.jsonl).',
    at: { file, line },
  });
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
