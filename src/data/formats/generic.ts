import type { ChatMessage, TextOrChat } from '../contract.ts';
import { extras, firstOf, has, messages, RowError, required, text, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairDraft, PairFormat } from './contract.ts';
import { splitConversations } from './dialogue.ts';

/** Column names in use for the same three things; the first is ours. */
const PROMPT = ['prompt', 'question', 'instruction'];
const CHOSEN = ['chosen', 'chosen_response', 'response_j'];
const REJECTED = ['rejected', 'rejected_response', 'response_k'];

/**
 * `{prompt, chosen, rejected}`, each text or messages. Completions that repeat the prompt's messages lose them; without
 * a prompt, what two conversations share is the prompt.
 */
export const generic: PairFormat = {
  name: 'generic',
  layout:
    '{prompt, chosen, rejected}: text, or lists of {role, content}; optional id, votes, dispersion, scores',
  columns: ['prompt', 'chosen', 'rejected'],
  matches: (row) => {
    const [chosen, rejected] = [firstOf(row, CHOSEN), firstOf(row, REJECTED)];
    if (chosen === undefined || rejected === undefined) return false;
    return firstOf(row, PROMPT) !== undefined || typeof row[chosen] === 'object';
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
  const columns = [PROMPT, CHOSEN, REJECTED].map((names) => firstOf(row, names));
  const [promptColumn, chosenColumn = 'chosen', rejectedColumn = 'rejected'] = columns;
  const chosen = textOrChat(row, chosenColumn);
  const rejected = textOrChat(row, rejectedColumn);
  const rest = extras(row, [...PROMPT, ...CHOSEN, ...REJECTED, 'prompt_id', 'messages']);
  if (typeof chosen !== typeof rejected) {
    throw new RowError(
      'wrong-type',
      `"${chosenColumn}" and "${rejectedColumn}" must both be text or both messages`,
    );
  }
  if (typeof chosen === 'string' || typeof rejected === 'string') {
    const prompt = textOrChat(row, promptColumn ?? 'prompt');
    const reply = (content: TextOrChat): TextOrChat =>
      typeof prompt === 'string' || typeof content !== 'string' ? content : [{ role: 'assistant', content }];
    return { prompt, chosen: reply(chosen), rejected: reply(rejected), ...rest };
  }
  if (promptColumn === undefined) return { ...splitConversations(chosen, rejected), ...rest };
  const prompt = promptMessages(row, promptColumn);
  return {
    prompt,
    chosen: withoutPrompt(chosen, prompt),
    rejected: withoutPrompt(rejected, prompt),
    ...rest,
  };
}

function promptMessages(row: Row, column: string): readonly ChatMessage[] {
  const value = required(row, column);
  return typeof value === 'string' ? [{ role: 'user', content: text(row, column) }] : messages(row, column);
}

/** A completion given as the whole conversation, cut down to what follows the prompt. */
function withoutPrompt(
  completion: readonly ChatMessage[],
  prompt: readonly ChatMessage[],
): readonly ChatMessage[] {
  const repeats = prompt.every((message, i) => {
    const same = completion[i];
    return same !== undefined && same.role === message.role && same.content === message.content;
  });
  if (repeats) return completion.slice(prompt.length);
  if (completion[0]?.role === 'assistant') return completion;
  throw new RowError(
    'transcripts-diverge',
    'a completion must begin with the assistant, or repeat the prompt and go on',
  );
}
