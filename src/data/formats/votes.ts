import { extras, firstOf, has, list, number, ownId, RowError, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairFormat } from './contract.ts';
import { CONTEXT_COLUMNS, chatPromptOf } from './prompt-columns.ts';

/**
 * Instructions with two responses that several people judged (PandaLM's layout): 1 and 2 name the better response, 0 is
 * a tie. The majority of those who chose decides; without one the row is tied. All votes are kept with the pair.
 */
export const votes: PairFormat = {
  name: 'votes',
  layout:
    '{instruction, input?, response1, response2, annotators: [0 | 1 | 2, …]} (or annotator1, annotator2, …)',
  columns: ['instruction', 'response1', 'response2', 'annotators'],
  matches: (row) =>
    has(row, 'response1') &&
    has(row, 'response2') &&
    firstOf(row, ['annotators', 'annotator1']) !== undefined,
  read(row) {
    const { first, second, tie } = countVotes(row);
    if (first === second) {
      const all = first + second + tie;
      throw new RowError('tied-scores', `no majority: ${first} for each response, ${tie} of ${all} tied`);
    }
    const pair = responsePrompt(row);
    const [chosen, rejected] = first > second ? [pair.first, pair.second] : [pair.second, pair.first];
    const used = ['instruction', ...CONTEXT_COLUMNS, 'idx', 'response1', 'response2', ...judgeColumns(row)];
    const rest = extras(row, used);
    return [
      {
        ...rest,
        ...pair.ask,
        chosen,
        rejected,
        votes: { chosen: Math.max(first, second), rejected: Math.min(first, second), tie },
      },
    ];
  },
  readPrompt: (row) => responsePrompt(row).ask,
};

/** The instruction as a chat, and both responses as replies. */
export function responsePrompt(row: Row) {
  const reply = (column: string) => [{ role: 'assistant', content: text(row, column) } as const];
  return {
    ask: { ...ownId(row, ['id', 'idx']), prompt: chatPromptOf(row, 'instruction') },
    first: reply('response1'),
    second: reply('response2'),
  };
}

/** How many people preferred each response, and how many neither. */
export function countVotes(row: Row): { first: number; second: number; tie: number } {
  const judgements = annotations(row);
  const count = (vote: number) => judgements.filter((judgement) => judgement === vote).length;
  return { first: count(1), second: count(2), tie: count(0) };
}

const judgeColumns = (row: Row) => Object.keys(row).filter((column) => /^annotator\d+$/.test(column));

function annotations(row: Row): readonly number[] {
  const judgements = has(row, 'annotators')
    ? list(row, 'annotators').map((vote) => number({ annotators: vote }, 'annotators'))
    : judgeColumns(row).map((column) => number(row, column));
  const odd = judgements.find((vote) => vote !== 0 && vote !== 1 && vote !== 2);
  if (odd !== undefined || judgements.length === 0) {
    throw new RowError('wrong-type', `an annotator's vote is 0 (tie), 1 or 2; received ${odd ?? 'none'}`);
  }
  return judgements;
}
