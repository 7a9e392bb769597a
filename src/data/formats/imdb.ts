import { extras, has, ownId, RowError, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt } from '../text.ts';
import type { PairFormat } from './contract.ts';

/**
 * f-DPO's IMDB pairs (`imdb_rlhf_pairs.csv`): the beginning of a review, and two whole reviews that begin with it.
 * Always text. The space between prompt and completion goes with the completion, where tokenizers expect it.
 */
export const imdb: PairFormat = {
  name: 'imdb',
  layout: '{Prompt, positive_response, negative_response}: the responses begin with the prompt',
  columns: ['Prompt', 'positive_response', 'negative_response'],
  matches: (row) => ['Prompt', 'positive_response', 'negative_response'].every((column) => has(row, column)),
  read(row) {
    const prompt = beginning(row);
    const pair = {
      prompt,
      chosen: continuation(row, 'positive_response', prompt),
      rejected: continuation(row, 'negative_response', prompt),
    };
    return [{ ...pair, ...extras(row, ['Prompt', 'positive_response', 'negative_response']) }];
  },
  readPrompt: (row) => ({ ...ownId(row), prompt: beginning(row) }),
};

const beginning = (row: Row) => text(row, 'Prompt').trimEnd();

function continuation(row: Row, column: string, prompt: string): string {
  const response = text(row, column);
  if (response.startsWith(prompt)) return response.slice(prompt.length);
  throw new RowError(
    'transcripts-diverge',
    `"${column}" must begin with the prompt, received ${excerpt(response, 60)}`,
  );
}
