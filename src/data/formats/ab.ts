import type { TextOrChat } from '../contract.ts';
import { extras, firstOf, has, RowError, text, textOrChat } from '../fields.ts';
import { excerpt } from '../text.ts';
import type { PairFormat } from './contract.ts';

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
    const [better, worse] = side === 'a' ? RESPONSES : [RESPONSES[1], RESPONSES[0]];
    const prompt = textOrChat(row, firstOf(row, ['prompt', 'question', 'instruction']) ?? 'prompt');
    const reply = (column: string): TextOrChat => {
      const value = textOrChat(row, column);
      return typeof prompt === 'string' || typeof value !== 'string'
        ? value
        : [{ role: 'assistant', content: value }];
    };
    return [
      {
        ...extras(row, ['prompt', 'question', 'instruction', ...RESPONSES, 'winner']),
        prompt,
        chosen: reply(better),
        rejected: reply(worse),
      },
    ];
  },
};
