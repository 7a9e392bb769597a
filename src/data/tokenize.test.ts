import { describe, expect, it } from 'vitest';
import { jsonLines, ToyTokenizer, withFiles } from '../../tests/support/data.ts';
import { ModelError } from '../errors.ts';
import type { PreferencePair } from './contract.ts';
import { loadPairs } from './pairs.ts';
import { loadSft } from './sft.ts';
import { tokenizePair, tokenizeSequence } from './tokenize.ts';
import { tokenizePairs, tokenizeSequences } from './tokenized.ts';

const tokenizer = new ToyTokenizer();
const ids = (text: string) => Int32Array.from(text, (character) => character.codePointAt(0)!);
const pair = (prompt: string, chosen: string, rejected: string): PreferencePair => ({
  id: 'p',
  prompt,
  chosen,
  rejected,
});
const chat = (prompt: string, chosen: string, rejected: string): PreferencePair => ({
  id: 'p',
  prompt: [{ role: 'user', content: prompt }],
  chosen: [{ role: 'assistant', content: chosen }],
  rejected: [{ role: 'assistant', content: rejected }],
});

describe('tokenizePair', () => {
  it('ends text with the end-of-text token, once, and gives the prompt one BOS', () => {
    const expected = {
      id: 'p',
      prompt: Int32Array.of(1, ...ids('Q ')),
      chosen: Int32Array.of(...ids('yes'), 2),
      rejected: Int32Array.of(...ids('no'), 2),
      movedTokens: 0,
      cutTokens: 0,
    };
    expect(tokenizePair(pair('Q ', 'yes', 'no'), tokenizer)).toEqual(expected);
    expect(tokenizePair(pair('Q ', 'yes</s>', 'no</s>'), tokenizer)).toEqual(expected);
  });

  it('scores what the template renders after the prompt, closing tokens and line break included', () => {
    expect(tokenizePair(chat('Q', 'yes', 'no'), tokenizer)).toEqual({
      id: 'p',
      prompt: Int32Array.of(3, ...ids('uQ'), 2, 10, 3, ...ids('a')),
      chosen: Int32Array.of(...ids('yes'), 2, 10),
      rejected: Int32Array.of(...ids('no'), 2, 10),
      movedTokens: 0,
      cutTokens: 0,
    });
  });

  it('moves a prompt token that merges with one completion to both completions, and reports it', () => {
    // `…a` + `b…` is the single token `ab` in the chosen text only.
    expect(tokenizePair(pair('Qa', 'b', 'x'), tokenizer)).toMatchObject({
      prompt: Int32Array.of(1, ...ids('Q')),
      chosen: Int32Array.of(1000, 2),
      rejected: Int32Array.of(...ids('ax'), 2),
      movedTokens: 1,
    });
  });

  it('scores from where a template renders prompt and conversation differently', () => {
    // Like templates that put an empty thought only where a reply begins.
    const thinking = new ToyTokenizer();
    const encodeChat = thinking.encodeChat.bind(thinking);
    thinking.encodeChat = (messages, options = {}) =>
      Int32Array.from([
        ...encodeChat(messages, options),
        ...(options.addGenerationPrompt ? ids('<think>') : []),
      ]);
    const result = tokenizePair(chat('Q', 'yes', 'no'), thinking);
    expect(result).toMatchObject({
      chosen: Int32Array.of(...ids('yes'), 2, 10),
      movedTokens: '<think>'.length,
    });
  });

  it('cuts the tail of a long completion, and counts it', () => {
    expect(tokenizePair(pair('Q', 'yes!', 'no'), tokenizer, { maxLength: 5 })).toMatchObject({
      chosen: ids('yes'),
      rejected: Int32Array.of(...ids('no'), 2),
      cutTokens: 2,
    });
  });

  it('refuses a prompt that leaves no room, at exactly the maximum length', () => {
    expect(tokenizePair(pair('QQ', 'yes', 'no'), tokenizer, { maxLength: 3 })).toMatchObject({
      reason: 'prompt-too-long',
    });
    expect(tokenizePair(pair('QQ', 'yes', 'no'), tokenizer, { maxLength: 4 })).toMatchObject({
      chosen: ids('y'),
    });
  });

  it('refuses completions that are equal as tokens, also after the cut', () => {
    expect(tokenizePair(pair('Q', 'yes', 'yes</s>'), tokenizer)).toMatchObject({
      reason: 'identical-completions',
    });
    expect(tokenizePair(pair('Q', 'yes', 'yeah'), tokenizer, { maxLength: 4 })).toMatchObject({
      reason: 'identical-completions',
      detail: 'equal up to the maximum length of 4 tokens',
    });
  });

  it('takes an empty prompt, and refuses one of which nothing could be predicted', () => {
    expect(tokenizePair(pair('', 'yes', 'no'), tokenizer)).toMatchObject({ prompt: Int32Array.of(1) });
    const noBos = new ToyTokenizer();
    noBos.encode = (text) => tokenizer.encode(text, { addSpecialTokens: false });
    expect(tokenizePair(pair('', 'yes', 'no'), noBos)).toMatchObject({
      prompt: Int32Array.of(),
      chosen: { length: 4 },
    });
    expect(tokenizePair(pair('', 'y', '</s>'), noBos)).toMatchObject({ reason: 'empty-completion' });
  });

  it('takes any Unicode', () => {
    const result = tokenizePair(pair('é👩‍👩‍👧', '\ud800', '𝔘\u0000'), tokenizer);
    expect(result).toMatchObject({
      chosen: Int32Array.of(0xd800, 2),
      rejected: Int32Array.of(0x1d518, 0, 2),
    });
  });

  it('needs an end-of-text token for text', () => {
    const endless: ToyTokenizer = Object.create(tokenizer, { eosToken: { value: undefined } });
    expect(() => tokenizePair(pair('Q', 'yes', 'no'), endless)).toThrow(ModelError);
  });
});

describe('tokenizeSequence', () => {
  it('scores a completion after its prompt, and text without a prompt from its first token', () => {
    expect(tokenizeSequence({ id: 's', prompt: 'Q', completion: 'yes' }, tokenizer)).toEqual({
      id: 's',
      prompt: Int32Array.of(1, ...ids('Q')),
      completion: Int32Array.of(...ids('yes'), 2),
      movedTokens: 0,
      cutTokens: 0,
    });
    expect(tokenizeSequence({ id: 's', completion: 'yes' }, tokenizer)).toMatchObject({
      prompt: Int32Array.of(1),
      completion: Int32Array.of(...ids('yes'), 2),
    });
  });
});

describe('tokenizing a data set', () => {
  const rows = jsonLines(
    { prompt: 'Q', chosen: 'yes', rejected: 'no' },
    { prompt: 'A prompt that is too long', chosen: 'yes', rejected: 'no' },
    { prompt: 'Qa', chosen: 'b and a long tail', rejected: 'x' },
  );

  it('keeps examples and tokens side by side, and counts what was cut, moved and left out, with its line', async () => {
    await withFiles({ 'pairs.jsonl': rows }, async (path) => {
      const data = await loadPairs(path('pairs.jsonl'));
      const done: number[] = [];
      const result = await tokenizePairs(data, tokenizer, {
        maxLength: 8,
        onProgress: (count) => done.push(count),
      });
      expect(result.examples.map(({ id }) => id)).toEqual(['0', '2']);
      expect(result.tokens.map(({ id }) => id)).toEqual(['0', '2']);
      expect(result.badRows).toMatchObject([{ id: '1', line: 2, reason: 'prompt-too-long' }]);
      expect(result.cut).toEqual({ examples: 1, tokens: 12 });
      expect(result.moved).toEqual({ examples: 1, tokens: 1 });
      expect(done.at(-1)).toBe(3);
      await expect(tokenizePairs(data, tokenizer, { maxLength: 8, strict: true })).rejects.toMatchObject({
        code: 'prompt-too-long',
        at: { line: 2 },
      });
      await expect(tokenizePairs(data, tokenizer, { maxLength: 2 })).rejects.toMatchObject({
        code: 'no-usable-rows',
      });
    });
  });

  it('lists conversations that the template refuses', async () => {
    const refusing = new ToyTokenizer();
    const encodeChat = refusing.encodeChat.bind(refusing);
    refusing.encodeChat = (messages, options) => {
      if (messages[0]?.role === 'system') throw new ModelError('chat-template-render', 'no system role');
      return encodeChat(messages, options);
    };
    const system = { from: 'system', value: 'S' };
    const human = { from: 'human', value: 'H' };
    const content = jsonLines(
      { conversations: [human], chosen: 'a', rejected: 'b' },
      { conversations: [system, human], chosen: 'a', rejected: 'b' },
    );
    await withFiles({ 'pairs.jsonl': content }, async (path) => {
      const { tokens, badRows } = await tokenizePairs(await loadPairs(path('pairs.jsonl')), refusing);
      expect(tokens).toHaveLength(1);
      expect(badRows).toMatchObject([{ line: 2, reason: 'template-refuses', detail: 'no system role' }]);
    });
  });

  it('tokenises SFT examples', async () => {
    await withFiles(
      { 'sft.jsonl': jsonLines({ prompt: 'Q', completion: 'yes' }, { prompt: 'Q', completion: 'no' }) },
      async (path) => {
        const { tokens } = await tokenizeSequences(await loadSft(path('sft.jsonl')), tokenizer);
        expect(tokens.map(({ completion }) => completion.length)).toEqual([4, 3]);
      },
    );
  });
});
