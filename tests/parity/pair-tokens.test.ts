import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadPairs, type PairStyle, tokenizePairs } from '../../src/data/index.ts';
import { readTokenizerFiles, Tokenizer } from '../../src/text/index.ts';

type Expected = [promptLength: number, chosen: number[], rejected: number[]];

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const { cases } = JSON.parse(
  gunzipSync(readFileSync(path('tests/fixtures/pair-tokens.json.gz'))).toString(),
) as {
  cases: Record<string, Expected[]>;
};
const folder = process.env.MALLOWS_TEST_SMOLLM2 ?? '';

describe.skipIf(!existsSync(folder))('pairs become the tokens that TRL makes of them', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = new Tokenizer(await readTokenizerFiles(folder));
  });

  it.each([
    ['hh/chat', 'hh.jsonl', 'auto'],
    ['hh/text', 'hh.jsonl', 'text'],
    ['ultrafeedback/text', 'ultrafeedback.jsonl', 'auto'],
    ['multiturn/chat', 'multiturn.jsonl', 'auto'],
    ['quickstart-eval/chat', 'quickstart-eval.jsonl.gz', 'auto'],
  ] satisfies [string, string, PairStyle][])('%s', async (name, file, style) => {
    const data = await loadPairs(path(`examples/data/${file}`), { style });
    const { tokens } = await tokenizePairs(data, tokenizer);
    const found = tokens.map(
      ({ prompt, chosen, rejected }): Expected => [
        prompt.length,
        [...prompt, ...chosen],
        [...prompt, ...rejected],
      ],
    );
    expect(found).toEqual(cases[name]);
  });
});
