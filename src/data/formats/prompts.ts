import type { PromptExample } from '../contract.ts';
import { firstOf, has, messages, optionalId, optionalText, text, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { Draft, RowFormat } from './contract.ts';
import { PAIR_FORMATS } from './index.ts';

type PromptFormat = RowFormat<PromptExample>;

const PROMPT = ['prompt', 'question', 'Prompt', 'text'];
const CONVERSATION = ['messages', 'conversations'];

const withId = (row: Row, prompt: PromptExample['prompt']): Draft<PromptExample>[] => {
  const id = optionalId(row);
  return [{ ...(id !== undefined && { id }), prompt }];
};

const prompt: PromptFormat = {
  name: 'prompt',
  layout: '{prompt}: text, or a list of {role, content}',
  columns: ['prompt'],
  matches: (row) => firstOf(row, PROMPT) !== undefined,
  read: (row) => withId(row, textOrChat(row, firstOf(row, PROMPT) ?? 'prompt')),
};

const instruction: PromptFormat = {
  name: 'instruction',
  layout: '{instruction, input?}',
  columns: ['instruction', 'input'],
  matches: (row) => has(row, 'instruction'),
  read(row) {
    const input = optionalText(row, 'input');
    return withId(row, [{ role: 'user', content: text(row, 'instruction') + (input ? `\n\n${input}` : '') }]);
  },
};

/** Conversations: a reply at the end is left out, because it is what will be generated. */
const conversation: PromptFormat = {
  name: 'conversation',
  layout: '{messages: [{role, content}, …]} (or conversations)',
  columns: ['messages', 'conversations'],
  matches: (row) => CONVERSATION.some((column) => Array.isArray(row[column])),
  read(row) {
    const turns = messages(row, firstOf(row, CONVERSATION) ?? 'messages');
    return withId(row, turns.at(-1)?.role === 'assistant' ? turns.slice(0, -1) : turns);
  },
};

/** Pair formats whose prompt is not simply a column. */
const PROMPT_FROM_PAIRS = new Set(['hh', 'shp', 'stack-exchange']);

const transcripts: readonly PromptFormat[] = PAIR_FORMATS.filter((format) =>
  PROMPT_FROM_PAIRS.has(format.name),
).map((format) => ({
  ...format,
  read: (row, context) =>
    format
      .read(row, { ...context, report: () => {} })
      .slice(0, 1)
      .map(({ id, prompt }) => ({
        ...(id !== undefined && { id }),
        prompt,
      })),
}));

export const PROMPT_FORMATS: readonly PromptFormat[] = [...transcripts, prompt, instruction, conversation];
