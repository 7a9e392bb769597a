import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { JsonObject } from '../text/json.ts';
import { openDirectory } from './huggingface.ts';

const GPT2 = fileURLToPath(new URL('../../tests/fixtures/models/gpt2/', import.meta.url));

/** As the hub's GPT-2 has it: the end-of-text token is there, but nothing says what it is for. */
const TOKENIZER = {
  added_tokens: [{ id: 3, content: '<|endoftext|>', special: true, normalized: true }],
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { a: 0, b: 1, ',': 2, '<|endoftext|>': 3 }, merges: [] },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mallows-directory-'));
  cpSync(GPT2, directory, { recursive: true });
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(TOKENIZER));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function tokenizerWith(config: JsonObject, tokenizerConfig: JsonObject) {
  const path = join(directory, 'config.json');
  const stated = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...stated, ...config }));
  writeFileSync(join(directory, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  const { tokenizer, weights } = await openDirectory(directory);
  weights.close();
  return tokenizer;
}

it("takes BOS and EOS from config.json where a tokenizer's files name none", async () => {
  const tokenizer = await tokenizerWith({ bos_token_id: 3, eos_token_id: 3 }, { model_max_length: 1024 });
  expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual(['<|endoftext|>', '<|endoftext|>']);
  expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([3, 3]);
  // Nothing is put around texts that was not before.
  expect([...tokenizer.encode('ab')]).toEqual([0, 1]);
});

it("leaves what a tokenizer's files say, that there is no such token included", async () => {
  const tokenizer = await tokenizerWith(
    { bos_token_id: 3, eos_token_id: 3 },
    { bos_token: null, eos_token: 'b' },
  );
  expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([undefined, 'b']);
});
