import { describe, expect, it } from 'vitest';
import { jsonLines, withFiles } from '../../tests/support/data.ts';
import { loadLabelled } from './labelled.ts';
import { loadVoted } from './voted.ts';

describe('loadLabelled', () => {
  it('reads reviews with sentiments, and names rows that have none', async () => {
    const csv = 'review,sentiment\n"Good.<br /><br />Really.",positive\nBad.,Negative\nWhat?,mixed\n';
    await withFiles({ 'reviews.csv': csv }, async (path) => {
      const { examples, badRows } = await loadLabelled(path('reviews.csv'));
      expect(examples).toEqual([
        { id: '0', text: 'Good.\n\nReally.', label: 1 },
        { id: '1', text: 'Bad.', label: 0 },
      ]);
      expect(badRows).toMatchObject([{ line: 4, reason: 'wrong-type' }]);
    });
  });

  it('leaves out rows that are not UTF-8', async () => {
    const bytes = Buffer.concat([
      Buffer.from('review,sentiment\nFine.,positive\nCaf'),
      Buffer.from([0xe9]),
      Buffer.from(',negative\n'),
    ]);
    await withFiles({ 'reviews.csv': bytes }, async (path) => {
      const { examples, badRows } = await loadLabelled(path('reviews.csv'));
      expect(examples).toHaveLength(1);
      expect(badRows).toMatchObject([{ line: 3, reason: 'invalid-utf8' }]);
    });
  });

  it('takes labels as numbers', async () => {
    await withFiles(
      { 'rows.jsonl': jsonLines({ text: 'a', label: 1, tools: 'hammer' }, { text: 'b', label: 0 }) },
      async (path) => {
        expect((await loadLabelled(path('rows.jsonl'))).examples.map(({ label }) => label)).toEqual([1, 0]);
      },
    );
  });
});

describe('loadVoted', () => {
  it('keeps rows without a majority', async () => {
    const row = { instruction: 'Name one.', response1: 'A.', response2: 'B.' };
    const rows = jsonLines({ ...row, annotators: [1, 2, 0] }, { ...row, annotators: [2, 2, 1] });
    await withFiles({ 'rows.jsonl': rows }, async (path) => {
      const { examples } = await loadVoted(path('rows.jsonl'));
      expect(examples.map(({ votes }) => votes)).toEqual([
        { first: 1, second: 1, tie: 1 },
        { first: 1, second: 2, tie: 0 },
      ]);
      expect(examples[1]!.first).toEqual([{ role: 'assistant', content: 'A.' }]);
    });
  });

  it('reads pairs that state their votes', async () => {
    const pair = { prompt: 'p', chosen: 'a', rejected: 'b', votes: { chosen: 1, rejected: 1, tie: 1 } };
    await withFiles({ 'rows.jsonl': jsonLines(pair) }, async (path) => {
      const { examples } = await loadVoted(path('rows.jsonl'), { style: 'text' });
      expect(examples).toEqual([
        { id: '0', prompt: 'p', first: 'a', second: 'b', votes: { first: 1, second: 1, tie: 1 } },
      ]);
    });
  });

  it('says of pairs without votes that those are what is missing', async () => {
    const row = { prompt: 'p', response_a: 'a', response_b: 'b', winner: 'a' };
    await expect(loadVoted([row])).rejects.toMatchObject({
      code: 'missing-columns',
      message: expect.stringContaining('winner: "a" | "b" | "tie"}; with "votes", or "votes_chosen"'),
    });
    await expect(loadVoted([{ ...row, votes_chosn: 2 }])).rejects.toMatchObject({
      hint: expect.stringContaining('"votes_chosn" looks like "votes_chosen"'),
    });
  });

  it('lists rows without votes among those that were left out', async () => {
    const pair = { prompt: 'p', chosen: 'a', rejected: 'b' };
    const rows = jsonLines({ ...pair, votes: { chosen: 2, rejected: 1 } }, pair, { ...pair, votes: null });
    await withFiles({ 'rows.jsonl': rows }, async (path) => {
      const { examples, badRows } = await loadVoted(path('rows.jsonl'));
      expect(examples.map(({ votes }) => votes)).toEqual([{ first: 2, second: 1, tie: 0 }]);
      expect(badRows).toMatchObject([
        {
          line: 2,
          reason: 'missing-field',
          detail: expect.stringContaining('among prompt, chosen, rejected'),
        },
        { line: 3, reason: 'missing-field' },
      ]);
    });
    const csv = 'prompt,chosen,rejected,votes_chosen,votes_rejected\np,a,b,3,1\np,c,d,,\n';
    await withFiles({ 'rows.csv': csv }, async (path) => {
      const { examples, badRows } = await loadVoted(path('rows.csv'));
      expect(examples).toHaveLength(1);
      expect(badRows).toMatchObject([{ line: 3, reason: 'missing-field' }]);
    });
  });
});
