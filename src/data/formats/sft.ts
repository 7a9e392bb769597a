import type { PreferencePair, SftExample } from '../contract.ts';
import { firstOf, has, messages, ownId, RowError, text, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { Draft, RowFormat } from './contract.ts';
import { asChat } from './dialogue.ts';
import { PAIR_FORMATS } from './index.ts';
import { chatPromptOf, promptColumn, promptOf, withContext } from './prompt-columns.ts';

type SftFormat = RowFormat<SftExample>;

const COMPLETION = ['completion', 'response', 'output', 'answer'];
const PROMPT = ['prompt', 'question'];
const CONVERSATION = ['messages', 'conversations'];

const withId = (row: Row, draft: Draft<SftExample>): Draft<SftExample>[] => [{ ...draft, ...ownId(row) }];

const promptCompletion: SftFormat = {
  name: 'prompt-completion',
  layout: '{prompt, completion}: text, or lists of {role, content}; or {completion} alone',
  columns: ['prompt', 'completion'],
  matches: (row) =>
    isCompletionAlone(row) || (firstOf(row, PROMPT) !== undefined && firstOf(row, COMPLETION) !== undefined),
  read(row) {
    if (isCompletionAlone(row)) return withId(row, { completion: textOrChat(row, 'completion') });
    const prompt = promptOf(row, promptColumn(row, PROMPT));
    const completion = textOrChat(row, firstOf(row, COMPLETION) ?? 'completion');
    if (typeof prompt === typeof completion) return withId(row, { prompt, completion });
    const chat = asChat({ prompt, chosen: completion, rejected: '' });
    return withId(row, { prompt: chat.prompt, completion: chat.chosen });
  },
};

/** Nothing but a completion: beside another column, that one may be a prompt of which we do not know the name. */
function isCompletionAlone(row: Row): boolean {
  if (!has(row, 'completion')) return false;
  return Object.keys(row).every(
    (column) => ['id', 'completion'].includes(column) || row[column] === undefined,
  );
}

/** Instructions with an output, as Alpaca has them: one user turn, one assistant turn. */
const instruction: SftFormat = {
  name: 'instruction',
  layout: '{instruction, input?, output}',
  columns: ['instruction', 'input', 'output'],
  matches: (row) => has(row, 'instruction') && firstOf(row, COMPLETION) !== undefined,
  read(row) {
    const reply = text(row, firstOf(row, COMPLETION) ?? 'output');
    return withId(row, {
      prompt: chatPromptOf(row, 'instruction'),
      completion: [{ role: 'assistant', content: reply }],
    });
  },
};

/** Whole conversations: the last assistant turn is learned, what comes before is its prompt. */
const conversation: SftFormat = {
  name: 'conversation',
  layout: '{messages: [{role, content}, …]} (or conversations), ending with the assistant',
  columns: ['messages', 'conversations'],
  matches: (row) => CONVERSATION.some((column) => Array.isArray(row[column])),
  read(row) {
    const turns = messages(row, firstOf(row, CONVERSATION) ?? 'messages');
    const last = turns.at(-1);
    if (last?.role !== 'assistant')
      throw new RowError('wrong-type', 'a conversation must end with the assistant');
    return withId(row, { prompt: withContext(row, turns.slice(0, -1)), completion: [last] });
  },
};

const plain: SftFormat = {
  name: 'text',
  layout: '{text}: learned from its first token to its last',
  columns: ['text'],
  matches: (row) => has(row, 'text'),
  read: (row) => withId(row, { completion: text(row, 'text') }),
};

/** Preference pairs, of which the chosen completion is learned: the paper's SFT stage. */
const fromPairs: readonly SftFormat[] = PAIR_FORMATS.map((format) => ({
  ...format,
  read: (row, context) =>
    format.read(row, context).map(({ id, part, prompt, chosen }: Draft<PreferencePair>) => ({
      ...(id !== undefined && { id }),
      ...(part !== undefined && { part }),
      prompt,
      completion: chosen,
    })),
}));

/** What SFT learns from. Pairs come first: they have prompts and messages too. */
export const SFT_FORMATS: readonly SftFormat[] = [
  ...fromPairs,
  instruction,
  promptCompletion,
  conversation,
  plain,
];
