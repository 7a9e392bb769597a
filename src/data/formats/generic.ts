import type { ChatMessage } from '../contract.ts';
import { extras, firstOf, has, RowError, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt, plainText } from '../text.ts';
import type { PairDraft, PairFormat } from './contract.ts';
import { type Conversation, inOneStyle, splitConversations } from './dialogue.ts';
import { CONTEXT_COLUMNS, chatPromptOf, PROMPT_COLUMNS, promptOf, withContext } from './prompt-columns.ts';

/** Column names in use for the same two things; the first is ours. */
const CHOSEN = ['chosen', 'chosen_response', 'response_j'];
const REJECTED = ['rejected', 'rejected_response', 'response_k'];

/**
 * `{prompt, chosen, rejected}`, each text or messages. Of two whole conversations, what they share is the prompt; a
 * completion that repeats the prompt's messages loses them.
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
  const chosenColumn = firstOf(row, CHOSEN) ?? 'chosen';
  const rejectedColumn = firstOf(row, REJECTED) ?? 'rejected';
  const chosen = textOrChat(row, chosenColumn);
  const rejected = textOrChat(row, rejectedColumn);
  const used = [...PROMPT_COLUMNS, ...CONTEXT_COLUMNS, ...CHOSEN, ...REJECTED, 'prompt_id', 'messages'];
  const rest = extras(row, used);
  if (typeof chosen === 'string' && typeof rejected === 'string') {
    return { ...inOneStyle({ prompt: promptOf(row), chosen, rejected }), ...rest };
  }
  if (typeof chosen === 'string' || typeof rejected === 'string') {
    throw new RowError(
      'wrong-type',
      `"${chosenColumn}" and "${rejectedColumn}" must both be text or both messages`,
    );
  }
  return { ...fromMessages(row, chosen, rejected), ...rest };
}

function fromMessages(
  row: Row,
  chosen: readonly ChatMessage[],
  rejected: readonly ChatMessage[],
): Conversation {
  const column = firstOf(row, PROMPT_COLUMNS);
  if (column === undefined || [chosen, rejected].every(([first]) => first && first.role !== 'assistant')) {
    const split = splitConversations(chosen, rejected);
    if (column !== undefined) requirePrompt(row, column, split.prompt);
    return { ...split, prompt: withContext(row, split.prompt) };
  }
  const prompt = chatPromptOf(row, column);
  return {
    prompt,
    chosen: withoutPrompt(chosen, prompt),
    rejected: withoutPrompt(rejected, prompt),
  };
}

/** A stated prompt beside whole conversations must be part of what they share: its text in a turn, its messages the first. */
function requirePrompt(row: Row, column: string, shared: readonly ChatMessage[]): void {
  const stated = textOrChat(row, column);
  const turns = typeof stated !== 'string' && stated[0]?.role !== 'system' ? withoutSystem(shared) : shared;
  const held =
    typeof stated === 'string' ? plainText(shared).includes(stated.trim()) : isStart(stated, turns);
  if (held) return;
  throw new RowError(
    'transcripts-diverge',
    `what both conversations share does not hold the prompt ${excerpt(plainText(stated), 60)}`,
  );
}

const withoutSystem = (turns: readonly ChatMessage[]) => turns.filter(({ role }) => role !== 'system');

function isStart(turns: readonly ChatMessage[], conversation: readonly ChatMessage[]): boolean {
  return turns.every(({ role, content }, i) => {
    const same = conversation[i];
    return same !== undefined && same.role === role && same.content === content;
  });
}

/** A completion given as the whole conversation, cut down to what follows the prompt. */
function withoutPrompt(
  completion: readonly ChatMessage[],
  prompt: readonly ChatMessage[],
): readonly ChatMessage[] {
  const rest = isStart(prompt, completion) ? completion.slice(prompt.length) : completion;
  if (rest.length === 0 || rest[0]?.role === 'assistant') return rest;
  throw new RowError(
    'transcripts-diverge',
    'a completion must begin with the assistant, or repeat the prompt and go on',
  );
}
