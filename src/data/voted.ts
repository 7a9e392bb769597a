import type { Dataset, VotedPair } from './contract.ts';
import { RowError } from './fields.ts';
import type { Draft } from './formats/contract.ts';
import { asChat, asText } from './formats/dialogue.ts';
import { VOTED_FORMATS } from './formats/voted.ts';
import { canonicalJson } from './hash.ts';
import { type LoadPairsOptions, resolveStyle } from './pairs.ts';
import { readExamples } from './read.ts';
import { type DataSource, openSource } from './sources/index.ts';
import { plainText } from './text.ts';

/**
 * Loads pairs of answers with every annotator's vote, rows without a majority included (`loadPairs` leaves those out:
 * they have no chosen side). Options and errors as in `loadPairs`.
 */
export async function loadVoted(
  source: DataSource,
  options: LoadPairsOptions = {},
): Promise<Dataset<VotedPair>> {
  const style = resolveStyle(options);
  const finish = (draft: Draft<VotedPair>, id: string): VotedPair => {
    const { first, second, votes } = draft;
    for (const answer of [first, second]) {
      if (plainText(answer).trim() === '') throw new RowError('empty-completion', 'an answer is empty');
    }
    if (canonicalJson(first) === canonicalJson(second)) {
      throw new RowError('identical-completions', 'both answers are the same');
    }
    const pair = { prompt: draft.prompt, chosen: first, rejected: second };
    const convert = style === 'chat' ? asChat : style === 'text' ? asText : undefined;
    const { prompt, chosen, rejected } = convert === undefined ? pair : { ...pair, ...convert(pair) };
    return { id, prompt, first: chosen, second: rejected, votes };
  };
  const dialogue = style === 'text' ? 'text' : 'chat';
  return readExamples(
    await openSource(source, options.hub),
    { formats: VOTED_FORMATS, dialogue, finish },
    options,
  );
}
