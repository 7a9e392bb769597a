import { extras, firstOf, has, list, number, optionalText, RowError, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairFormat } from './contract.ts';

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
    const judgements = annotations(row);
    const count = (vote: number) => judgements.filter((judgement) => judgement === vote).length;
    const [tie, first, second] = [count(0), count(1), count(2)];
    if (first === second) {
      throw new RowError(
        'tied-scores',
        `no majority: ${first} for each response, ${tie} of ${judgements.length} tied`,
      );
    }
    const [better, worse] = first > second ? ['response1', 'response2'] : ['response2', 'response1'];
    const input = optionalText(row, 'input');
    const content = text(row, 'instruction') + (input ? `\n\n${input}` : '');
    const rest = extras(row, ['instruction', 'input', 'idx', 'response1', 'response2', ...judgeColumns(row)]);
    const id = rest.id ?? (has(row, 'idx') ? String(number(row, 'idx')) : undefined);
    return [
      {
        ...rest,
        ...(id !== undefined && { id }),
        prompt: [{ role: 'user', content }],
        chosen: [{ role: 'assistant', content: text(row, better!) }],
        rejected: [{ role: 'assistant', content: text(row, worse!) }],
        votes: { chosen: Math.max(first, second), rejected: Math.min(first, second), tie },
      },
    ];
  },
};

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
