import { extras, has, number, ownId, RowError, states, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairFormat } from './contract.ts';

/** Stanford Human Preferences: a Reddit post and two comments; `labels` is 1 when A is preferred. */
export const shp: PairFormat = {
  name: 'shp',
  layout: '{history, human_ref_A, human_ref_B, labels (1: A is preferred), score_A, score_B}',
  columns: ['history', 'human_ref_A', 'human_ref_B', 'labels'],
  matches: (row) => ['history', 'human_ref_A', 'human_ref_B', 'labels'].every((column) => has(row, column)),
  read(row) {
    const label = number(row, 'labels');
    if (label !== 0 && label !== 1)
      throw new RowError('wrong-type', `"labels" must be 1 (A) or 0 (B), received ${label}`);
    const [chosen, rejected] = label === 1 ? (['A', 'B'] as const) : (['B', 'A'] as const);
    const say = (side: string) => [{ role: 'assistant' as const, content: text(row, `human_ref_${side}`) }];
    const rest = extras(row, ['history', 'human_ref_A', 'human_ref_B', 'labels', 'score_A', 'score_B']);
    const scores = states(row, 'score_A') &&
      states(row, 'score_B') && {
        score_chosen: number(row, `score_${chosen}`),
        score_rejected: number(row, `score_${rejected}`),
      };
    return [
      {
        ...rest,
        prompt: post(row),
        chosen: say(chosen),
        rejected: say(rejected),
        meta: { ...rest.meta, ...scores },
      },
    ];
  },
  readPrompt: (row) => ({ ...ownId(row), prompt: post(row) }),
};

const post = (row: Row) => [{ role: 'user' as const, content: text(row, 'history') }];
