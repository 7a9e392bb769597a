import { suggest } from '../suggest.ts';
import type { BadRowReason, ChatMessage, ChatRole, TextOrChat, Votes } from './contract.ts';
import type { PairDraft } from './formats/contract.ts';
import { InvalidText } from './sources/bytes.ts';
import type { Row } from './sources/contract.ts';
import { excerpt } from './text.ts';

/** Why one row cannot be used. Thrown by formats, caught by the loader, which knows the file and line. */
export class RowError extends Error {
  readonly reason: BadRowReason;

  constructor(reason: BadRowReason, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** Whether the row has a value in that column. Inherited properties (`constructor`, …) are no columns. */
export function has(row: Row, column: string): boolean {
  return Object.hasOwn(row, column) && row[column] !== null && row[column] !== undefined;
}

/** The first of several column names that the row has. */
export function firstOf(row: Row, columns: readonly string[]): string | undefined {
  return columns.find((column) => has(row, column));
}

export function required(row: Row, column: string): unknown {
  if (has(row, column)) return decoded(row[column], `"${column}"`);
  const columns = Object.keys(row);
  const near = suggest(column, columns);
  const what = Object.hasOwn(row, column) ? `"${column}" is ${String(row[column])}` : `no "${column}"`;
  const hint = near !== undefined && near !== column ? ` (did you mean "${near}"?)` : '';
  throw new RowError(
    'missing-field',
    `${what} among ${excerpt(columns.join(', ') || 'no fields', 160)}${hint}`,
  );
}

/** A value as it is, unless it is bytes that should have been text. */
function decoded(value: unknown, where: string): unknown {
  if (value instanceof InvalidText) throw new RowError('invalid-utf8', `${where} is ${value.toJSON()}`);
  return value;
}

export function text(row: Row, column: string): string {
  const value = required(row, column);
  if (typeof value === 'string') return value;
  throw new RowError('wrong-type', `"${column}" must be text, received ${excerpt(value, 60)}`);
}

export function optionalText(row: Row, column: string): string | undefined {
  return states(row, column) ? text(row, column) : undefined;
}

/** Whether the row states an optional fact there: empty cells of tables arrive as '' or NaN. */
export function states(row: Row, column: string): boolean {
  return has(row, column) && row[column] !== '' && !Number.isNaN(row[column]);
}

export function list(row: Row, column: string): readonly unknown[] {
  const value = required(row, column);
  if (Array.isArray(value)) return value;
  throw new RowError('wrong-type', `"${column}" must be a list, received ${excerpt(value, 60)}`);
}

/** A finite number; text that reads as one counts, because CSV knows nothing else. */
export function number(row: Row, column: string): number {
  const value = required(row, column);
  const written = typeof value === 'bigint' || (typeof value === 'string' && value.trim() !== '');
  const parsed = written ? Number(value) : value;
  if (typeof parsed === 'number' && Number.isFinite(parsed)) return parsed;
  throw new RowError('wrong-type', `"${column}" must be a number, received ${excerpt(value, 60)}`);
}

export function optionalNumber(row: Row, column: string): number | undefined {
  return states(row, column) ? number(row, column) : undefined;
}

/** Role names of the common layouts: OpenAI's, and ShareGPT's `from`. */
const ROLES: ReadonlyMap<string, ChatRole> = new Map<string, ChatRole>([
  ['system', 'system'],
  ['user', 'user'],
  ['human', 'user'],
  ['assistant', 'assistant'],
  ['gpt', 'assistant'],
  ['tool', 'tool'],
]);

/** Text, one message, or a list of messages, as `{role, content}` or ShareGPT's `{from, value}`. */
export function textOrChat(row: Row, column: string): TextOrChat {
  const value = required(row, column);
  if (typeof value === 'string') return value;
  return messagesFrom(value, column);
}

export function messages(row: Row, column: string): readonly ChatMessage[] {
  return messagesFrom(required(row, column), column);
}

function messagesFrom(value: unknown, column: string): readonly ChatMessage[] {
  const items = Array.isArray(value) ? value : [value];
  return items.map((item: unknown, i) => {
    const where = `message ${i + 1} of "${column}"`;
    if (typeof item !== 'object' || item === null || Array.isArray(item)) {
      throw new RowError('wrong-type', `${where} must be {role, content}, received ${excerpt(item, 60)}`);
    }
    const message = item as Row;
    refuseUnread(message, where);
    const roleName = message[has(message, 'role') ? 'role' : 'from'];
    const role = typeof roleName === 'string' ? ROLES.get(roleName.toLowerCase()) : undefined;
    if (role === undefined) {
      const known = [...ROLES.keys()].join(', ');
      throw new RowError(
        'wrong-type',
        `the role of ${where} is ${excerpt(roleName, 40)}; expected one of ${known}`,
      );
    }
    return { role, content: contentOf(message[has(message, 'content') ? 'content' : 'value'], where) };
  });
}

/** What a message may hold besides its text that the model said or saw. Ids, weights and the like are not among them. */
const UNREAD = [
  'tool_calls',
  'function_call',
  'tool_call_id',
  'name',
  'reasoning_content',
  'reasoning',
  'thinking',
  'images',
  'audio',
];

/** A message without its calls or thoughts would be another message. */
function refuseUnread(message: Row, where: string): void {
  const column = UNREAD.find((name) => !isBlank(message, name));
  if (column === undefined) return;
  throw new RowError(
    'wrong-type',
    `${where} has "${column}", which would be lost: only role and content are read; received ${excerpt(message[column], 60)}`,
  );
}

/** Tools that the model was offered would be missing from its prompt. */
export function refuseTools(row: Row): void {
  if (isBlank(row, 'tools')) return;
  throw new RowError(
    'wrong-type',
    `the row has "tools", which would be lost: write them into a system message, or rename the column; received ${excerpt(row.tools, 60)}`,
  );
}

/** Whether a column holds neither text nor anything in a list or an object, which may be written as JSON. */
function isBlank(row: Row, column: string): boolean {
  if (!states(row, column)) return true;
  const value = row[column];
  if (typeof value === 'string') return ['', '[]', '{}'].includes(value.trim());
  return typeof value !== 'object' || value === null || Object.keys(value).length === 0;
}

/** A message's text: a string, or a list of text parts. Images and other parts are refused, never dropped. */
function contentOf(value: unknown, where: string): string {
  const content = decoded(value, `the content of ${where}`);
  if (typeof content === 'string') return content;
  const isTextPart = (part: unknown): part is { text: string } =>
    typeof part === 'object' &&
    part !== null &&
    (part as Row).type === 'text' &&
    typeof (part as Row).text === 'string';
  if (Array.isArray(content) && content.every(isTextPart)) return content.map((part) => part.text).join('');
  throw new RowError('wrong-type', `the content of ${where} must be text, received ${excerpt(content, 60)}`);
}

/** The row's own id as text, from the first of the columns that states one; nothing when none does. */
export function ownId(row: Row, columns: readonly string[] = ['id']): { readonly id?: string } {
  const column = columns.find((name) => states(row, name));
  if (column === undefined) return {};
  const value = row[column];
  if (typeof value === 'string' || Number.isSafeInteger(value)) return { id: String(value) };
  throw new RowError(
    'wrong-type',
    `"${column}" must be text or a whole number below 2^53, received ${excerpt(value, 60)}`,
  );
}

/** `votes: {chosen, rejected, tie?}`, or the columns `votes_chosen`, `votes_rejected`, `votes_tie`. */
export function optionalVotes(row: Row): Votes | undefined {
  const nested = states(row, 'votes');
  if (!nested && !states(row, 'votes_chosen')) return undefined;
  if (nested && (typeof row.votes !== 'object' || Array.isArray(row.votes))) {
    throw new RowError(
      'wrong-type',
      `"votes" must be {chosen, rejected, tie}, received ${excerpt(row.votes, 60)}`,
    );
  }
  const votes = nested ? (row.votes as Row) : row;
  const prefix = nested ? '' : 'votes_';
  const count = (name: string) => {
    const value = number(votes, prefix + name);
    if (value < 0)
      throw new RowError(
        'wrong-type',
        `the votes "${prefix}${name}" must not be negative, received ${value}`,
      );
    return value;
  };
  const tie = states(votes, `${prefix}tie`) ? count('tie') : undefined;
  return { chosen: count('chosen'), rejected: count('rejected'), ...(tie !== undefined && { tie }) };
}

/** `dispersion`: φ(x), strictly between 0 (everyone agrees) and 1 (anything goes). */
export function optionalDispersion(row: Row): number | undefined {
  const value = optionalNumber(row, 'dispersion');
  if (value === undefined || (value > 0 && value < 1)) return value;
  throw new RowError('wrong-type', `"dispersion" must lie strictly between 0 and 1, received ${value}`);
}

const SCORE_COLUMNS = {
  score_chosen: ['score_chosen', 'chosen_score', 'chosen-rating'],
  score_rejected: ['score_rejected', 'rejected_score', 'rejected-rating'],
} as const;

/** The object in a column, where there is one. */
function record(row: Row, column: string): Row | undefined {
  const value = has(row, column) ? row[column] : undefined;
  return typeof value === 'object' && !Array.isArray(value) ? (value as Row) : undefined;
}

/** Ratings of the two completions, where a data set states them, under one name each. */
export function scores(row: Row): { score_chosen: number; score_rejected: number } | undefined {
  for (const place of [row, record(row, 'metadata'), record(row, 'meta')]) {
    if (place === undefined) continue;
    const chosen = SCORE_COLUMNS.score_chosen.find((column) => states(place, column));
    const rejected = SCORE_COLUMNS.score_rejected.find((column) => states(place, column));
    if (chosen === undefined || rejected === undefined) continue;
    return { score_chosen: number(place, chosen), score_rejected: number(place, rejected) };
  }
  return undefined;
}

/** What any pair may state besides its texts: id, votes, dispersion, and short facts from columns not otherwise used. */
export function extras(row: Row, used: readonly string[]): Omit<PairDraft, 'prompt' | 'chosen' | 'rejected'> {
  const votes = optionalVotes(row);
  const dispersion = optionalDispersion(row);
  const facts = meta(row, used);
  return {
    ...ownId(row),
    ...(votes !== undefined && { votes }),
    ...(dispersion !== undefined && { dispersion }),
    ...(facts !== undefined && { meta: facts }),
  };
}

/**
 * Short facts about a row that are worth carrying along: the plain values in columns that are not otherwise used, and in
 * `meta`, where a pair that was read before has them.
 */
export function meta(row: Row, used: readonly string[]): Record<string, unknown> | undefined {
  const kept = [
    ...shortFacts(record(row, 'meta') ?? {}).filter(([name]) => name !== '__proto__'),
    ...shortFacts(row).filter(([column]) => !used.includes(column) && !NOT_META.has(column)),
    ...Object.entries(scores(row) ?? {}),
  ];
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

function shortFacts(row: Row): [string, unknown][] {
  return Object.entries(row).filter(([column, value]) => states(row, column) && isShortValue(value));
}

/** Columns that are fields of their own, and a key that must not become a property anywhere. */
const NOT_META = new Set([
  'id',
  'votes',
  'votes_chosen',
  'votes_rejected',
  'votes_tie',
  'dispersion',
  '__proto__',
]);

function isShortValue(value: unknown): boolean {
  return (
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    (typeof value === 'string' && value.length <= 200)
  );
}
