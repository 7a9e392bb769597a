import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { DataError } from '../../errors.ts';

/** A model's judged outputs, in the order of the instructions. */
export interface ModelAnnotations {
  readonly model: string;
  readonly baseline: string | undefined;
  readonly rows: readonly AnnotationRow[];
}

export interface AnnotationRow {
  /** Zero-based position of the instruction in the evaluation set. */
  readonly index: number;
  /** Probability that the model wins, in [0, 1] (AlpacaEval's preference − 1); absent when it was not judged. */
  readonly preference?: number;
  /** Unicode code points. */
  readonly length: number;
  readonly baselineLength?: number;
  /** The part of the evaluation set that the instruction comes from, where the file says it. */
  readonly dataset?: string;
}

/** What is known of an instruction, whoever answers it. */
export interface InstructionItem {
  readonly baselineLength?: number;
  readonly difficulty: number;
  readonly dataset?: string;
}

/** A row of a "gamed" baseline: told to be concise or verbose. */
export interface GamedRow {
  readonly model: string;
  readonly index: number;
  readonly preference?: number;
  readonly length: number;
}

/**
 * Reads judged outputs in either of two layouts, gzipped or not:
 * - AlpacaEval's `annotations.json`: an array of `{instruction, output_1, output_2, generator_1, generator_2,
 *   preference, …}`, output 1 being the baseline's; `preference` is 1…2, or 0 for a tie, or null;
 * - CSV with the columns `model, index, output_len, preference` (lengths in code points).
 * A file may hold several models; they come back in order of appearance.
 */
export async function readAnnotations(path: string): Promise<ModelAnnotations[]> {
  const text = await readText(path);
  return /^\s*[[{]/.test(text) ? fromJson(path, text) : fromCsv(path, text);
}

/** Reads `index, dataset, baseline_len, instruction_difficulty` (CSV, gzipped or not), by index. */
export async function readItems(path: string): Promise<Map<number, InstructionItem>> {
  const items = new Map<number, InstructionItem>();
  const table = csvTable(path, await readText(path), ['index', 'instruction_difficulty']);
  table.forEach((row, i) => {
    const line = i + 2;
    const baselineLength = row.baseline_len ? integer(path, line, row, 'baseline_len') : undefined;
    items.set(integer(path, line, row, 'index'), {
      difficulty: number(path, line, row, 'instruction_difficulty'),
      ...(baselineLength !== undefined && { baselineLength }),
      ...(row.dataset ? { dataset: row.dataset } : {}),
    });
  });
  return items;
}

/** Reads `gamed_model, index, output_len, pseudo_preference` (CSV, gzipped or not; preferences in [0, 1]). */
export async function readGamed(path: string): Promise<GamedRow[]> {
  const columns = ['gamed_model', 'index', 'output_len', 'pseudo_preference'];
  return csvTable(path, await readText(path), columns).map((row, i) => {
    const line = i + 2;
    const preference = row.pseudo_preference ? number(path, line, row, 'pseudo_preference') : undefined;
    if (preference !== undefined && !(preference >= 0 && preference <= 1)) {
      throw badValue(path, line, 'pseudo_preference', preference, 'a probability between 0 and 1');
    }
    return {
      model: row.gamed_model!,
      index: integer(path, line, row, 'index'),
      length: integer(path, line, row, 'output_len'),
      ...(preference !== undefined && { preference }),
    };
  });
}

/** Length in Unicode code points, as Python counts. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

async function readText(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new DataError('file-unreadable', `Cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      at: { file: path },
    });
  }
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = await promisify(gunzip)(bytes);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError('invalid-utf8', `${path} is not UTF-8 text (or gzip of it).`, {
      cause,
      at: { file: path },
    });
  }
}

function fromJson(path: string, text: string): ModelAnnotations[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new DataError('invalid-json', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
      at: { file: path },
      hint: 'Pass the annotations.json that AlpacaEval writes: one array of objects.',
    });
  }
  if (!Array.isArray(parsed)) {
    throw new DataError('wrong-type', `${path} holds one object; expected an array of annotations.`, {
      at: { file: path },
    });
  }
  const models = new Map<string, { baseline: string; rows: AnnotationRow[] }>();
  parsed.forEach((entry: Record<string, unknown>, i) => {
    const row = i + 1;
    const field = (name: string): string => {
      const value = entry?.[name];
      if (typeof value === 'string') return value;
      throw badValue(path, row, name, value, 'a string');
    };
    const baseline = field('generator_1');
    const model = field('generator_2');
    const known = models.get(model) ?? { baseline, rows: [] };
    if (known.baseline !== baseline) {
      throw badValue(path, row, 'generator_1', baseline, `"${known.baseline}", as in the model's other rows`);
    }
    models.set(model, known);
    const preference = parsePreference(path, row, entry.preference);
    known.rows.push({
      index: known.rows.length,
      length: codePoints(field('output_2')),
      baselineLength: codePoints(field('output_1')),
      ...(preference !== undefined && { preference }),
      ...(typeof entry.dataset === 'string' && { dataset: entry.dataset }),
    });
  });
  return [...models].map(([model, { baseline, rows }]) => ({ model, baseline, rows }));
}

function fromCsv(path: string, text: string): ModelAnnotations[] {
  const models = new Map<string, AnnotationRow[]>();
  csvTable(path, text, ['model', 'index', 'output_len', 'preference']).forEach((row, i) => {
    const line = i + 2;
    const rows = models.get(row.model!) ?? [];
    models.set(row.model!, rows);
    const preference = parsePreference(path, line, row.preference === '' ? null : Number(row.preference));
    rows.push({
      index: integer(path, line, row, 'index'),
      length: integer(path, line, row, 'output_len'),
      ...(preference !== undefined && { preference }),
    });
  });
  for (const [model, rows] of models) {
    const seen = new Set<number>();
    for (const { index } of rows) {
      if (seen.has(index)) {
        throw new DataError('duplicate-index', `${path}: ${model} has two rows with index ${index}.`, {
          at: { file: path },
        });
      }
      seen.add(index);
    }
  }
  return [...models].map(([model, rows]) => ({ model, baseline: undefined, rows }));
}

function csvTable(path: string, text: string, columns: readonly string[]): Record<string, string>[] {
  let table: Record<string, string>[];
  try {
    table = parse(text, { columns: true, bom: true, skip_empty_lines: true });
  } catch (cause) {
    throw new DataError('invalid-csv', `${path} is not valid CSV: ${(cause as Error).message}`, {
      cause,
      at: { file: path },
    });
  }
  const found = Object.keys(table[0] ?? {});
  const missing = columns.filter((column) => !found.includes(column));
  if (missing.length > 0) {
    throw new DataError(
      'missing-field',
      `${path} lacks the column ${missing.join(', ')}; it has ${found.join(', ') || 'no rows'}.`,
      { at: { file: path, line: 1 }, hint: `The columns must be named ${columns.join(', ')}.` },
    );
  }
  return table;
}

/** AlpacaEval's scale: 1 the baseline wins, 2 the model wins, 1.5 or 0 a tie, null not judged. */
function parsePreference(path: string, line: number, value: unknown): number | undefined {
  if (value === null || value === undefined) return undefined;
  if (value === 0) return 0.5;
  if (typeof value === 'number' && value >= 1 && value <= 2) return value - 1;
  throw badValue(path, line, 'preference', value, 'a number from 1 to 2, 0 for a tie, or null');
}

function number(path: string, line: number, row: Record<string, string>, column: string): number {
  const value = Number(row[column]);
  if (row[column] !== '' && Number.isFinite(value)) return value;
  throw badValue(path, line, column, row[column], 'a number');
}

function integer(path: string, line: number, row: Record<string, string>, column: string): number {
  const value = number(path, line, row, column);
  if (Number.isInteger(value) && value >= 0) return value;
  throw badValue(path, line, column, row[column], 'a whole number, zero or more');
}

function badValue(path: string, line: number, name: string, value: unknown, expected: string): DataError {
  const received = JSON.stringify(value) ?? 'nothing';
  return new DataError(
    'wrong-type',
    `${path}, row ${line}: ${name} is ${received.length > 80 ? `${received.slice(0, 80)}…` : received}; expected ${expected}.`,
    { at: { file: path, line } },
  );
}
