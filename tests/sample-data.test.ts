import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadPairs, plainText, summarizeReasons } from '../src/data/index.ts';

const path = (name: string) => fileURLToPath(new URL(`../examples/data/${name}`, import.meta.url));

describe('the committed samples', () => {
  it.each([
    ['hh.jsonl', 'hh', 7, ''],
    ['ultrafeedback.jsonl', 'ultrafeedback', 19, ''],
    ['multiturn.jsonl', 'sharegpt', 13, ''],
    ['pandalm.jsonl.gz', 'votes', 422, 'a tie: 71, empty completion: 7'],
    ['shp.jsonl', 'shp', 3, ''],
    ['stack-exchange.jsonl', 'stack-exchange', 3, 'a tie: 1'],
    ['imdb.csv', 'imdb', 3, ''],
    ['quickstart-train.jsonl.gz', 'generic', 121, ''],
    ['quickstart-eval.jsonl.gz', 'generic', 102, ''],
  ])('%s reads as %s', async (file, format, pairs, left) => {
    const data = await loadPairs(path(file));
    expect(data.format).toBe(format);
    expect(data.examples).toHaveLength(pairs);
    expect(summarizeReasons(data.badRows)).toBe(left);
  });

  it('keeps the quickstart’s held-out prompts out of its training pairs', async () => {
    const train = await loadPairs(path('quickstart-train.jsonl.gz'));
    const held = await loadPairs(path('quickstart-eval.jsonl.gz'));
    const seen = new Set(train.examples.map(({ prompt }) => plainText(prompt)));
    expect(held.examples.filter(({ prompt }) => seen.has(plainText(prompt)))).toEqual([]);
    expect(held.examples.every(({ votes }) => votes !== undefined && votes.chosen > votes.rejected)).toBe(
      true,
    );
  });
});
