import type { VotedPair, Votes } from '../contract.ts';
import { has, optionalVotes, RowError } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import { excerpt } from '../text.ts';
import type { RowFormat } from './contract.ts';
import { PAIR_FORMATS } from './index.ts';
import { countVotes, responsePrompt, votes } from './votes.ts';

/** The `votes` layout with every row: that nobody agrees is what a study of agreement is about. */
const responses: RowFormat<VotedPair> = {
  name: votes.name,
  layout: votes.layout,
  columns: votes.columns,
  matches: votes.matches,
  read(row) {
    const { ask, first, second } = responsePrompt(row);
    return [{ ...ask, first, second, votes: countVotes(row) }];
  },
};

/** Pairs of any other layout that state their votes; `first` is the chosen side. */
const pairs: readonly RowFormat<VotedPair>[] = PAIR_FORMATS.filter((format) => format !== votes).map(
  (format) => ({
    ...format,
    layout: `${format.layout}; with "votes", or "votes_chosen" and "votes_rejected"`,
    columns: [...format.columns, 'votes', 'votes_chosen', 'votes_rejected', 'votes_tie'],
    matches: (row) => (has(row, 'votes') || has(row, 'votes_chosen')) && format.matches(row),
    read: (row, context) =>
      format.read(row, context).map(({ id, part, prompt, chosen, rejected, votes: stated }) => {
        const { chosen: first, rejected: second, tie = 0 } = stated ?? requiredVotes(row);
        return {
          ...(id !== undefined && { id }),
          ...(part !== undefined && { part }),
          prompt,
          first: chosen,
          second: rejected,
          votes: { first, second, tie },
        };
      }),
  }),
);

/** The format is detected from many rows, each of which may lack what the others have. */
function requiredVotes(row: Row): Votes {
  const stated = optionalVotes(row);
  if (stated !== undefined) return stated;
  throw new RowError(
    'missing-field',
    `no votes in "votes" or "votes_chosen" among ${excerpt(Object.keys(row).join(', '), 160)}`,
  );
}

export const VOTED_FORMATS: readonly RowFormat<VotedPair>[] = [responses, ...pairs];
