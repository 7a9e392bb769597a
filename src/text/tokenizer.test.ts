import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sentencePieceBpe } from './bpe.ts';
import type { JsonObject } from './json.ts';
import { Tokenizer } from './tokenizer.ts';

interface Case {
  readonly name: string;
  readonly tokenizer: JsonObject;
  readonly ids: number[][];
  readonly decoded: string[];
}

const { texts, cases } = JSON.parse(
  readFileSync(new URL('./fixtures/tokenizers.json', import.meta.url), 'utf8'),
) as { texts: string[]; cases: Case[] };

const CONFIG = {
  bos_token: '<|im_start|>',
  eos_token: '<|im_end|>',
  pad_token: { content: '<|endoftext|>' },
};

function tokenizerOf(name: string, config: JsonObject = CONFIG): Tokenizer {
  const { tokenizer } = cases.find((candidate) => candidate.name === name)!;
  return new Tokenizer({ tokenizer, config });
}

describe.each(cases)('a byte-level tokenizer that cuts words like $name', ({ tokenizer, ids, decoded }) => {
  const own = new Tokenizer({ tokenizer, config: CONFIG });

  it('gives the ids of the reference, but for a BOS that the text has already', () => {
    for (const [i, text] of texts.entries()) {
      const doubled = own.prefix.length > 0 && text.startsWith('<|im_start|>');
      expect({ text, ids: [...own.encode(text)] }).toEqual({
        text,
        ids: doubled ? ids[i]!.slice(1) : ids[i],
      });
    }
  });

  it('decodes to the same texts', () => {
    expect(ids.map((row) => own.decode(row, { skipSpecialTokens: true }))).toEqual(decoded);
  });

  it('gives the same ids when words are already known', () => {
    const text = texts.join(' ');
    expect(own.encode(text)).toEqual(own.encode(text));
    expect(own.encode(text)).toEqual(new Tokenizer({ tokenizer, config: CONFIG }).encode(text));
  });
});

describe('encoding and decoding', () => {
  it.each(['gpt-2', 'smollm', 'llama-bpe'])('%s gives every text back', (name) => {
    const tokenizer = tokenizerOf(name);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps spaces before punctuation, which other decoders clean up', () => {
    const tokenizer = tokenizerOf('smollm');
    expect(tokenizer.decode(tokenizer.encode("it 's , you know ."))).toBe("it 's , you know .");
  });

  it('joins a character from its bytes across tokens, and marks half of one', () => {
    const tokenizer = tokenizerOf('gpt-2');
    const ids = tokenizer.encode('😀');
    expect(ids.length).toBeGreaterThan(1);
    expect(tokenizer.decode(ids)).toBe('😀');
    expect(tokenizer.decode(ids.slice(0, 1))).toBe('\uFFFD');
  });

  it('skips ids that have no token, as padding rows of an embedding do', () => {
    const tokenizer = tokenizerOf('gpt-2');
    expect(tokenizer.decode([...tokenizer.encode('a'), tokenizer.vocabularySize + 5])).toBe('a');
  });

  it('takes a text of more tokens than a function takes arguments, where nothing cuts it into words', () => {
    const vocabulary = new Map(['<unk>', 'a'].map((token, id) => [token, id]));
    const tokenizer = new Tokenizer({
      tokenizer: sentencePieceBpe({
        vocabulary,
        merges: [],
        addedTokens: [],
        unkToken: '<unk>',
        byteFallback: false,
        addSpacePrefix: false,
      }),
      config: {},
    });
    const ids = tokenizer.encode('a'.repeat(500_000));
    expect(ids.length).toBe(500_000);
    expect(new Set(ids)).toEqual(new Set([1]));
  });
});

describe('special tokens', () => {
  it('are never doubled', () => {
    const tokenizer = tokenizerOf('llama-bpe');
    const [bos] = tokenizer.encode('');
    expect(bos).toBe(1);
    expect([...tokenizer.encode('a')].filter((id) => id === bos)).toHaveLength(1);
    expect(tokenizer.encode('<|im_start|>a')).toEqual(tokenizer.encode('a'));
  });

  it('follow explicit flags of the configuration', () => {
    const tokenizer = tokenizerOf('gpt-2', { ...CONFIG, add_bos_token: true, add_eos_token: true });
    const inner = tokenizer.encode('a', { addSpecialTokens: false });
    expect([...tokenizer.encode('a')]).toEqual([1, ...inner, 2]);
    expect([...tokenizer.encode('<|im_start|>a<|im_end|>')]).toEqual([1, ...inner, 2]);
  });

  it('are known by name and id', () => {
    const tokenizer = tokenizerOf('smollm');
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId]).toEqual([1, 2, 0]);
    expect(tokenizer.isSpecial(1)).toBe(true);
    expect(tokenizer.isSpecial(50)).toBe(false);
    expect(tokenizer.decode([1, 50, 2], { skipSpecialTokens: true })).toBe(tokenizer.decode([50]));
  });

  it('that the vocabulary lacks are an error', () => {
    expect(() => tokenizerOf('gpt-2', { bos_token: '<nope>' })).toThrowError(/"<nope>" as bos_token/);
  });

  it('with options that cannot be honoured are an error', () => {
    const { tokenizer } = cases[0]!;
    const added = [{ id: 5, content: 'x', single_word: true }];
    expect(
      () => new Tokenizer({ tokenizer: { ...tokenizer, added_tokens: added }, config: {} }),
    ).toThrowError(/single_word/);
  });
});

describe('the end of a turn', () => {
  const { tokenizer } = cases[0]!;
  const endOf = (chatTemplate: string) =>
    new Tokenizer({ tokenizer, config: { ...CONFIG, eos_token: '<|endoftext|>' }, chatTemplate }).endOfTurnId;
  const turns = (closing: string) =>
    `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}${closing}{% endfor %}`;

  it('is what the template writes after an answer, whichever token is EOS', () => {
    expect(endOf(turns('<|im_end|>\n'))).toBe(2);
    expect(endOf(turns(' {{ eos_token }}<|im_start|>'))).toBe(0);
    expect(endOf("{% for m in messages %}{{ m.content }}{{ '<|im_end|>' if loop.last }}{% endfor %}")).toBe(
      2,
    );
  });

  it('is none without a template, or where the template has no special token for it', () => {
    expect(tokenizerOf('gpt-2').endOfTurnId).toBeUndefined();
    expect(endOf(turns('\n\n'))).toBeUndefined();
    expect(endOf('{{ messages[0].content }}<|im_end|>')).toBeUndefined();
    expect(
      endOf("{% if messages[1].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}<|im_end|>"),
    ).toBeUndefined();
  });
});

describe('hash', () => {
  it('is the same for equal files and changes with the template', () => {
    const { tokenizer } = cases[0]!;
    const files = { tokenizer, config: CONFIG };
    expect(new Tokenizer(files).hash).toBe(new Tokenizer(structuredClone(files)).hash);
    expect(new Tokenizer({ ...files, chatTemplate: 'x' }).hash).not.toBe(new Tokenizer(files).hash);
  });
});
