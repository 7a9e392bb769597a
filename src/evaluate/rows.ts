import { messages, RowError } from '../data/fields.ts';
import { PROMPT_COLUMNS, promptOf, withContext } from '../data/formats/prompt-columns.ts';
import type { TextOrChat } from '../data/index.ts';
import type { Row } from '../data/sources/contract.ts';
import { openSource } from '../data/sources/index.ts';
import { excerpt } from '../data/text.ts';
import { DataError, type SourceLocation } from '../errors.ts';

const CONVERSATION = 'messages';

/**
 * A row of an evaluation file. Unlike training data, where bad rows may be left out, every row counts here: what is
 * missing or of the wrong kind is an error that names file and line.
 */
export class EvaluationRow {
  readonly at: SourceLocation;
  readonly #row: Row;

  constructor(row: Row, at: SourceLocation) {
    this.#row = row;
    this.at = at;
  }

  has(name: string): boolean {
    const value = this.#row[name];
    return value !== undefined && value !== null && value !== '';
  }

  raw(name: string): unknown {
    return this.#row[name];
  }

  text(name: string): string {
    const value = this.#row[name];
    return typeof value === 'string' ? value : this.fail(name, 'a string');
  }

  number(name: string): number {
    const value = this.#row[name];
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    return typeof number === 'number' && Number.isFinite(number) ? number : this.fail(name, 'a number');
  }

  /** A whole number, zero or more. */
  count(name: string): number {
    const value = this.number(name);
    return Number.isInteger(value) && value >= 0 ? value : this.fail(name, 'a whole number, zero or more');
  }

  /** All that the row says was asked, by the rules of prompts files; undefined where it does not say. */
  prompt(): TextOrChat | undefined {
    const column = [...PROMPT_COLUMNS, CONVERSATION].find((name) => this.has(name));
    if (column === undefined) return undefined;
    try {
      const prompt = column === CONVERSATION ? conversationPrompt(this.#row) : promptOf(this.#row, column);
      return typeof prompt !== 'string' && prompt.length === 0
        ? this.fail(column, 'text or chat messages {role, content}')
        : prompt;
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      throw new DataError(error.reason, `The prompt cannot be read: ${error.message}.`, {
        at: this.at,
        cause: error,
      });
    }
  }

  fail(name: string, expected: string): never {
    const value = this.#row[name];
    if (value === undefined) {
      throw new DataError(
        'missing-field',
        `The row has no ${name}; it has ${Object.keys(this.#row).join(', ') || 'no fields'}.`,
        { at: this.at, hint: `Expected ${expected} under that name.` },
      );
    }
    throw new DataError('wrong-type', `${name} is ${excerpt(value, 80) || '""'}; expected ${expected}.`, {
      at: this.at,
    });
  }
}

/** A reply at the end is what was answered, not what was asked. */
function conversationPrompt(row: Row): TextOrChat {
  const turns = messages(row, CONVERSATION);
  return withContext(row, turns.at(-1)?.role === 'assistant' ? turns.slice(0, -1) : turns);
}

/** The rows of a JSONL, JSON, CSV or Parquet file, gzipped or not. Throws `DataError` at the first unreadable one. */
export async function readEvaluationRows(path: string): Promise<EvaluationRow[]> {
  const rows: EvaluationRow[] = [];
  for await (const item of (await openSource(path)).rows()) {
    const at = { file: item.file, line: item.line };
    if (!('row' in item)) throw new DataError(item.reason, `Unreadable row: ${item.detail}.`, { at });
    rows.push(new EvaluationRow(item.row, at));
  }
  return rows;
}
