import type { PromptExample } from '../contract.ts';
import { firstOf, has, messages, ownId, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { Draft, RowFormat } from './contract.ts';
import { PAIR_FORMATS } from './index.ts';
import { chatPromptOf, promptColumn, promptOf, withContext } from './prompt-columns.ts';

type PromptFormat = RowFormat<PromptExample>;

const PROMPT = ['prompt', 'question', 'Prompt'];
const CONVERSATION = ['messages', 'conversations'];

const withId = (row: Row, prompt: PromptExample['prompt']): Draft<PromptExample>[] => [
  { ...ownId(row), prompt },
];

const prompt: PromptFormat = {
  name: 'prompt',
  layout: '{prompt}: text, or a list of {role, content}',
  columns: ['prompt'],
  matches: (row) => firstOf(row, PROMPT) !== undefined,
  read: (row) => withId(row, promptOf(row, promptColumn(row, PROMPT))),
};

const instruction: PromptFormat = {
  name: 'instruction',
  layout: '{instruction, input?}',
  columns: ['instruction', 'input'],
  matches: (row) => has(row, 'instruction'),
  read: (row) => withId(row, chatPromptOf(row, 'instruction')),
};

/** Conversations: a reply at the end is left out, because it is what will be generated. */
const conversation: PromptFormat = {
  name: 'conversation',
  layout: '{messages: [{role, content}, …]} (or conversations)',
  columns: ['messages', 'conversations'],
  matches: (row) => CONVERSATION.some((column) => Array.isArray(row[column])),
  read(row) {
    const turns = messages(row, firstOf(row, CONVERSATION) ?? 'messages');
    return withId(row, withContext(row, turns.at(-1)?.role === 'assistant' ? turns.slice(0, -1) : turns));
  },
};

/** Text as it stands, such as a line of a text file. */
const plain: PromptFormat = {
  name: 'text',
  layout: '{text}: as it stands',
  columns: ['text'],
  matches: (row) => has(row, 'text'),
  read: (row) => withId(row, text(row, 'text')),
};

/** The prompts of preference pairs, as training reads them. */
const fromPairs: readonly PromptFormat[] = PAIR_FORMATS.map((format) => ({
  ...format,
  read: (row, context) => [format.readPrompt(row, context)],
}));

export const PROMPT_FORMATS: readonly PromptFormat[] = [
  ...fromPairs,
  prompt,
  instruction,
  conversation,
  plain,
];
