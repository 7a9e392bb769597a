import type { ChatMessage } from '../contract.ts';
import { extras, has, messages, ownId, RowError, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairFormat } from './contract.ts';
import { CONTEXT_COLUMNS, withContext } from './prompt-columns.ts';

/** ShareGPT's multi-turn layout: `conversations` of `{from, value}` up to the user's last turn, and two replies. */
export const sharegpt: PairFormat = {
  name: 'sharegpt',
  layout:
    '{conversations: [{from, value}], chosen, rejected, system?}: replies as text or as one {from, value}',
  columns: ['conversations', 'chosen', 'rejected'],
  matches: (row) => Array.isArray(row.conversations) && has(row, 'chosen') && has(row, 'rejected'),
  read(row) {
    const pair = {
      prompt: openConversation(row),
      chosen: reply(row, 'chosen'),
      rejected: reply(row, 'rejected'),
    };
    return [{ ...pair, ...extras(row, ['conversations', 'chosen', 'rejected', ...CONTEXT_COLUMNS]) }];
  },
  readPrompt: (row) => ({ ...ownId(row), prompt: openConversation(row) }),
};

function openConversation(row: Row): readonly ChatMessage[] {
  const turns = messages(row, 'conversations');
  if (turns.at(-1)?.role === 'assistant' || turns.length === 0) {
    throw new RowError('wrong-type', '"conversations" must end with a turn that the replies answer');
  }
  return withContext(row, turns);
}

function reply(row: Row, column: string): readonly ChatMessage[] {
  const value = textOrChat(row, column);
  return typeof value === 'string' ? [{ role: 'assistant', content: value }] : value;
}
