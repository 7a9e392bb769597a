import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { DataError } from '../../errors.ts';
import { suggest } from '../../suggest.ts';
import type { RowStream } from './contract.ts';
import { readJson } from './json.ts';
import { readJsonLines, readTextLines } from './jsonl.ts';

type Reader = (file: string, name: string) => RowStream;

/** A reader whose libraries are loaded when the first such file is read. */
const lazily = (load: () => Promise<Reader>): Reader =>
  async function* (file, name) {
    const reader = await load();
    yield* reader(file, name);
  };

const csv = (delimiter: string) =>
  lazily(async () => {
    const { readCsv } = await import('./csv.ts');
    return (file, name) => readCsv(file, name, delimiter);
  });

/** File types by extension; each but Parquet may also be gzipped (`.jsonl.gz`). */
const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['.jsonl', readJsonLines],
  ['.ndjson', readJsonLines],
  ['.json', readJson],
  ['.csv', csv(',')],
  ['.tsv', csv('\t')],
  ['.parquet', lazily(async () => (await import('./parquet.ts')).readParquet)],
  ['.txt', readTextLines],
]);

export const DATA_EXTENSIONS: readonly string[] = [...READERS.keys()];

/** The extension that decides how a file is read: `.jsonl` for `pairs.jsonl.gz`. */
export function dataExtension(path: string): string {
  return extname(path.toLowerCase().replace(/\.gz$/, ''));
}

/** Opens one file by its extension. `name` is what messages call it (a hub path, for a cached file). */
export function readRows(file: string, name = file): RowStream {
  const reader = READERS.get(dataExtension(name));
  if (reader === undefined) {
    throw new DataError('unknown-file-type', `${name} is not a known kind of data file.`, {
      hint: `Use one of ${DATA_EXTENSIONS.join(', ')} (text files also with .gz), and name it so.`,
      at: { file: name },
    });
  }
  return reader(file, name);
}

/**
 * The files that a path stands for: itself, or what a pattern with `*` and `?` in its last part matches, sorted by name.
 * Throws `DataError` for a missing file, a directory, an empty file, a pattern that matches nothing.
 */
export async function expandPath(path: string): Promise<readonly string[]> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new DataError('unreadable-file', `${path} cannot be opened: ${error.message}.`, {
      at: { file: path },
      cause: error,
    });
  });
  if (info?.isDirectory()) throw directoryGiven(path, await dataFilesIn(path));
  if (info !== undefined) {
    if (info.size === 0) throw new DataError('empty-file', `${path} is empty.`, { at: { file: path } });
    return [path];
  }
  const pattern = basename(path);
  const names = await dataFilesIn(dirname(path));
  if (!/[*?]/.test(pattern)) throw missingFile(path, names);
  const matching = matchingDataFiles(pattern, names);
  if (matching.length === 0) {
    throw new DataError('missing-file', `No data file matches ${path}.`, {
      hint: inFolder(dirname(path), names),
    });
  }
  return matching.map((name) => join(dirname(path), name));
}

/** Which of a folder's names are data files that a pattern with `*` and `?` means, sorted. */
export function matchingDataFiles(pattern: string, names: readonly string[]): string[] {
  const matches = globToRegExp(pattern);
  return names.filter((name) => READERS.has(dataExtension(name)) && matches.test(name)).sort();
}

async function dataFilesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory() && READERS.has(dataExtension(entry.name)))
    .map((entry) => entry.name)
    .sort();
}

function directoryGiven(path: string, names: readonly string[]): DataError {
  return new DataError('directory-given', `${path} is a directory; data is a file, or a pattern of files.`, {
    hint: `${inFolder(path, names)} A pattern such as "${join(path, 'train-*.jsonl')}" reads several as one.`,
  });
}

function missingFile(path: string, names: readonly string[]): DataError {
  const near = suggest(basename(path), names);
  return new DataError('missing-file', `There is no file ${path}.`, {
    hint: near === undefined ? inFolder(dirname(path), names) : `Did you mean ${join(dirname(path), near)}?`,
    at: { file: path },
  });
}

function inFolder(directory: string, names: readonly string[]): string {
  if (names.length === 0) return `${directory} holds no data files (${DATA_EXTENSIONS.join(', ')}).`;
  const shown = names.slice(0, 6).join(', ');
  return `${directory} holds ${shown}${names.length > 6 ? `, and ${names.length - 6} more` : ''}.`;
}

function globToRegExp(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${escaped}$`);
}
