import { extras, has, ownId, RowError, text, textOrChat } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt } from '../text.ts';
import type { PairFormat } from './contract.ts';
import { inOneStyle } from './dialogue.ts';
import { CONTEXT_COLUMNS, PROMPT_COLUMNS, promptColumn, promptOf } from './prompt-columns.ts';

const RESPONSES = ['response_a', 'response_b'] as const;

/** A product's A/B log: what was asked, two answers, and which one the person took. */
export const ab: PairFormat = {
  name: 'ab',
  layout: '{prompt, response_a, response_b, winner: "a" | "b" | "tie"}',
  columns: ['prompt', 'response_a', 'response_b', 'winner'],
  matches: (row) => has(row, 'winner') && RESPONSES.every((column) => has(row, column)),
  read(row) {
    const winner = text(row, 'winner').toLowerCase();
    if (winner.startsWith('tie')) throw new RowError('tied-scores', `"winner" is ${excerpt(winner, 40)}`);
    const side = /^(?:model_|response_)?([ab])$/.exec(winner)?.[1];
    if (side === undefined) {
      throw new RowError('wrong-type', `"winner" must be "a", "b" or "tie", received ${excerpt(winner, 40)}`);
    }
    const rest = extras(row, [...PROMPT_COLUMNS, ...CONTEXT_COLUMNS, ...RESPONSES, 'winner']);
    const [better, worse] = side === 'a' ? RESPONSES : [RESPONSES[1], RESPONSES[0]];
    return [{ ...rest, ...answers(row, better, worse) }];
  },
  readPrompt: (row) => ({ ...ownId(row), prompt: answers(row, ...RESPONSES).prompt }),
};

const answers = (row: Row, chosen: string, rejected: string) =>
  inOneStyle({
    prompt: promptOf(row, promptColumn(row)),
    chosen: textOrChat(row, chosen),
    rejected: textOrChat(row, rejected),
  });
