import type { ChatMessage } from '../contract.ts';
import { extras, has, list, number, ownId, RowError, text } from '../fields.ts';
import type { Row } from '../sources/contract.ts';
import type { PairDraft, PairFormat } from './contract.ts';
import { htmlToText } from './html.ts';

/**
 * H4's Stack Exchange preferences: a question and scored answers. Every two answers with different scores make a pair,
 * as in the paper's experiments; equal scores are reported. The texts are HTML and become plain text.
 */
export const stackExchange: PairFormat = {
  name: 'stack-exchange',
  layout: '{qid?, question, answers: [{text, pm_score, selected?}, …]}',
  columns: ['question', 'answers'],
  matches: (row) => has(row, 'question') && Array.isArray(row.answers),
  read(row, { report }) {
    const prompt = question(row);
    const answers = list(row, 'answers').map(readAnswer);
    if (answers.length < 2)
      throw new RowError('missing-field', `a pair needs two answers, received ${answers.length}`);
    const rest = extras(row, ['question', 'answers', 'metadata']);
    const pairs: PairDraft[] = [];
    let ties = 0;
    for (const [i, first] of answers.entries()) {
      for (const [j, second] of answers.entries()) {
        if (j <= i) continue;
        if (first.score === second.score) {
          ties++;
          continue;
        }
        const [better, worse] = first.score > second.score ? [first, second] : [second, first];
        const meta = { ...rest.meta, score_chosen: better.score, score_rejected: worse.score };
        pairs.push({ ...rest, part: `${i}-${j}`, prompt, chosen: better.reply, rejected: worse.reply, meta });
      }
    }
    if (ties > 0)
      report('tied-scores', `${ties} of ${ties + pairs.length} pairs of answers have equal scores`);
    return pairs;
  },
  readPrompt: (row) => ({ ...ownId(row), prompt: question(row) }),
};

function question(row: Row): ChatMessage[] {
  return [{ role: 'user', content: htmlToText(text(row, 'question')) }];
}

function readAnswer(value: unknown): { reply: ChatMessage[]; score: number } {
  if (typeof value !== 'object' || value === null)
    throw new RowError('wrong-type', 'an answer must be {text, pm_score}');
  const answer = value as Row;
  return {
    reply: [{ role: 'assistant', content: htmlToText(text(answer, 'text')) }],
    score: number(answer, 'pm_score'),
  };
}
