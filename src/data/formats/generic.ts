import type { ChatMessage, TextOrChat } from '../contract.ts';
import { extras, firstOf, has, ownId, RowError, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt, plainText } from '../text.ts';
import type { PairDraft, PairFormat } from './contract.ts';
import { beginsWith, type Conversation, inOneStyle, splitConversations } from './dialogue.ts';
import {
  CONTEXT_COLUMNS,
  PROMPT_COLUMNS,
  promptColumn,
  promptOf,
  questionTurns,
  withContext,
} from './prompt-columns.ts';

/** Column names in use for the same two things; the first is ours. */
const CHOSEN = ['chosen', 'chosen_response', 'response_j'];
const REJECTED = ['rejected', 'rejected_response', 'response_k'];

/**
 * `{prompt, chosen, rejected}`, each text or messages. Messages may repeat the prompt or follow it: what both whole
 * conversations share is the prompt, and their last turns are the completions.
 */
export const generic: PairFormat = {
  name: 'generic',
  layout:
    '{prompt, chosen, rejected}: text, or lists of {role, content}; optional id, votes, dispersion, scores',
  columns: ['prompt', 'chosen', 'rejected'],
  matches: (row) => {
    const [chosen, rejected] = [firstOf(row, CHOSEN), firstOf(row, REJECTED)];
    if (chosen === undefined || rejected === undefined) return false;
    return firstOf(row, PROMPT_COLUMNS) !== undefined || typeof row[chosen] === 'object';
  },
  read: (row) => [readPair(row)],
  readPrompt: (row) => ({ ...ownId(row), prompt: readPrompt(row) }),
};

/** UltraFeedback-binarized, in H4's layout (messages) or the plain-text one: a generic pair with ratings. */
export const ultrafeedback: PairFormat = {
  ...generic,
  name: 'ultrafeedback',
  layout: '{prompt, chosen, rejected, score_chosen, score_rejected}: text, or lists of {role, content}',
  columns: ['prompt', 'chosen', 'rejected', 'score_chosen', 'score_rejected'],
  matches: (row) =>
    generic.matches(row) && (hasScores(row) || (has(row, 'metadata') && hasScores(row.metadata as Row))),
};

const hasScores = (row: Row) =>
  typeof row === 'object' && has(row, 'score_chosen') && has(row, 'score_rejected');

function readPair(row: Row): PairDraft {
  const [chosen, rejected] = [firstOf(row, CHOSEN) ?? 'chosen', firstOf(row, REJECTED) ?? 'rejected'];
  const used = [...PROMPT_COLUMNS, ...CONTEXT_COLUMNS, ...CHOSEN, ...REJECTED, 'prompt_id', 'messages'];
  return { ...conversations(row, [chosen, rejected]), ...extras(row, used) };
}

/** The prompt of both completions, or of the one that is there: a row that lacks a side has a prompt too. */
function readPrompt(row: Row): TextOrChat {
  const sides = [firstOf(row, CHOSEN), firstOf(row, REJECTED)].filter((column) => column !== undefined);
  const [first, second = first] = sides;
  return first === undefined || second === undefined
    ? promptOf(row, promptColumn(row))
    : conversations(row, [first, second]).prompt;
}

function conversations(row: Row, columns: readonly [string, string]): Conversation {
  const [chosen, rejected] = [textOrChat(row, columns[0]), textOrChat(row, columns[1])];
  if (typeof chosen === 'string' && typeof rejected === 'string') {
    return inOneStyle({ prompt: promptOf(row, promptColumn(row)), chosen, rejected });
  }
  if (typeof chosen === 'string' || typeof rejected === 'string') {
    throw new RowError(
      'wrong-type',
      `"${columns[0]}" and "${columns[1]}" must both be text or both messages`,
    );
  }
  return fromMessages(row, chosen, rejected);
}

/** What both conversations share is the prompt, whether or not the completions repeat the one that is stated. */
function fromMessages(
  row: Row,
  chosen: readonly ChatMessage[],
  rejected: readonly ChatMessage[],
): Conversation {
  const column = firstOf(row, PROMPT_COLUMNS);
  const prompt = column === undefined ? [] : questionTurns(row, column);
  const split = splitConversations(wholeConversation(chosen, prompt), wholeConversation(rejected, prompt));
  if (column !== undefined) requirePrompt(row, column, split.prompt);
  return { ...split, prompt: withContext(row, split.prompt) };
}

/** A completion after its prompt, unless it repeats the prompt or begins with another turn than the assistant's. */
function wholeConversation(
  completion: readonly ChatMessage[],
  prompt: readonly ChatMessage[],
): readonly ChatMessage[] {
  if (completion.length === 0) throw new RowError('empty-completion', 'a completion holds no messages');
  const repeats = prompt.length > 0 && beginsWith(completion, prompt);
  return repeats || completion[0]?.role !== 'assistant' ? completion : [...prompt, ...completion];
}

/** A stated prompt beside whole conversations must be part of what they share: its text in a turn, its messages the first. */
function requirePrompt(row: Row, column: string, shared: readonly ChatMessage[]): void {
  const stated = textOrChat(row, column);
  const held =
    typeof stated === 'string'
      ? plainText(shared).includes(stated.trim())
      : [shared, withoutSystem(shared)].some((turns) => beginsWith(turns, stated));
  if (held) return;
  throw new RowError(
    'transcripts-diverge',
    `what both conversations share does not hold the prompt ${excerpt(plainText(stated), 60)}`,
  );
}

const withoutSystem = (turns: readonly ChatMessage[]) => turns.filter(({ role }) => role !== 'system');
