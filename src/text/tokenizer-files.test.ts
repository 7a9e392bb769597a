import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Tokenizer } from './tokenizer.ts';
import { readTokenizerFiles, withModelTokens, writeTokenizerFiles } from './tokenizer-files.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mallows-tokenizer-'));
});
afterEach(() => rm(directory, { recursive: true }));

const put = (name: string, value: unknown) =>
  writeFile(join(directory, name), typeof value === 'string' ? value : JSON.stringify(value));

describe('tokenizer files', () => {
  it('are written as they were read, with the template apart', async () => {
    await put('tokenizer.json', {
      version: '1.0',
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
      added_tokens: [],
    });
    await put('tokenizer_config.json', { bos_token: 'a', chat_template: '{{ 1 }}' });
    await put('special_tokens_map.json', { eos_token: 'a' });
    const files = await readTokenizerFiles(directory);
    expect(files.config).toEqual({ bos_token: 'a' });
    const copy = join(directory, 'copy');
    await writeTokenizerFiles(copy, files);
    expect(await readTokenizerFiles(copy)).toEqual(files);
    expect(await readFile(join(copy, 'chat_template.jinja'), 'utf8')).toBe('{{ 1 }}');
    expect(new Tokenizer(files).eosTokenId).toBe(0);
  });

  it('prefer chat_template.jinja', async () => {
    await put('tokenizer.json', {});
    await put('tokenizer_config.json', { chat_template: 'old' });
    await put('chat_template.jinja', 'new');
    expect((await readTokenizerFiles(directory)).chatTemplate).toBe('new');
  });

  it('may name no template', async () => {
    await put('tokenizer.json', {});
    await put('tokenizer_config.json', { chat_template: null });
    expect('chatTemplate' in (await readTokenizerFiles(directory))).toBe(false);
  });

  it("may be GPT-2's vocab.json and merges.txt", async () => {
    await put('vocab.json', { h: 0, i: 1, hi: 2, Ġ: 3, Ġh: 4, Ġhi: 5, '<|endoftext|>': 6 });
    await put('merges.txt', '#version: 0.2\nh i\nĠ hi\n');
    const tokenizer = new Tokenizer(await readTokenizerFiles(directory));
    expect([...tokenizer.encode('hi hi<|endoftext|>')]).toEqual([2, 5, 6]);
  });

  it("of GPT-2 have the special tokens of transformers' class, unless they say otherwise", async () => {
    await put('merges.txt', '#version: 0.2\nh i\n');
    await put('vocab.json', { h: 0, i: 1, hi: 2 });
    expect((await readTokenizerFiles(directory)).config).toEqual({});
    await put('vocab.json', { h: 0, i: 1, hi: 2, '<|endoftext|>': 3 });
    const plain = new Tokenizer(await readTokenizerFiles(directory));
    expect([plain.bosTokenId, plain.eosTokenId, plain.unkTokenId]).toEqual([3, 3, 3]);
    await put('tokenizer_config.json', { bos_token: null, model_max_length: 8 });
    await put('special_tokens_map.json', { eos_token: 'h' });
    const stated = new Tokenizer(await readTokenizerFiles(directory));
    expect([stated.bosTokenId, stated.eosTokenId, stated.unkTokenId]).toEqual([undefined, 0, 3]);
  });

  it("take BOS and EOS from a model's ids only where those are added tokens", () => {
    const added = [
      { id: 1, content: '<s>', special: true },
      { id: 2, content: '</s>', special: true },
    ];
    const files = { tokenizer: { added_tokens: added }, config: { model_max_length: 8 } };
    const filled = { ...files, config: { model_max_length: 8, bos_token: '<s>', eos_token: '</s>' } };
    expect(withModelTokens(files, { bos_token_id: 1, eos_token_id: [2, 1] })).toEqual(filled);
    expect(withModelTokens(files, { bos_token_id: 0, eos_token_id: null })).toBe(files);
  });

  it('that are missing or damaged are named', async () => {
    await expect(readTokenizerFiles(directory)).rejects.toThrowError(/neither tokenizer.json nor vocab.json/);
    await put('tokenizer.json', '{');
    await expect(readTokenizerFiles(directory)).rejects.toThrowError(/tokenizer.json cannot be read/);
  });
});
