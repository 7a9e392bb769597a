import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../text/json.ts';
import { Tokenizer } from '../../text/tokenizer.ts';
import type { GgufHeader } from './read.ts';
import { readGgufHeader } from './read.ts';
import { ggufTokenizer } from './tokenizer.ts';
import { tokenizerFields } from './tokenizer-fields.ts';
import { writeGguf } from './write.ts';

const STORIES = fileURLToPath(
  new URL('../../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const read = (url: string) => JSON.parse(readFileSync(new URL(url, import.meta.url), 'utf8'));

/** The stories file's header with metadata changed; `undefined` removes a key. */
function storiesWith(changes: Record<string, unknown>): GgufHeader {
  const header = readGgufHeader(STORIES);
  const metadata = new Map([...header.metadata, ...Object.entries(changes)]);
  for (const [key, value] of Object.entries(changes)) if (value === undefined) metadata.delete(key);
  return { ...header, metadata: metadata as GgufHeader['metadata'] };
}

/** A model whose configuration names no tokens. */
const NO_IDS = { bosTokenId: undefined, eosTokenIds: [] };

/** Writes a tokenizer as a GGUF file without tensors and reads it back. */
async function throughFile(tokenizer: Tokenizer, rows = tokenizer.vocabularySize): Promise<Tokenizer> {
  const directory = await mkdtemp(join(tmpdir(), 'mallows-gguf-'));
  try {
    const path = join(directory, 'vocabulary.gguf');
    await writeGguf(
      path,
      [
        { key: 'general.architecture', type: 'string', value: 'llama' },
        ...tokenizerFields(tokenizer, rows, NO_IDS),
      ],
      [],
    );
    return new Tokenizer(ggufTokenizer(readGgufHeader(path)));
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('a SentencePiece tokenizer from GGUF', () => {
  const tokenizer = new Tokenizer(ggufTokenizer(readGgufHeader(STORIES)));
  const { texts, ids } = read('./fixtures/stories260k-ids.json') as { texts: string[]; ids: number[][] };

  it("gives llama.cpp's ids, but for a BOS that the text has already", () => {
    for (const [i, text] of texts.entries()) {
      const expected = text.startsWith('<s>') ? ids[i]!.slice(1) : ids[i];
      expect({ text, ids: [...tokenizer.encode(text)] }).toEqual({ text, ids: expected });
    }
  });

  it('gives every text back, through bytes where it has no piece', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        fc.pre(!/<(s|\/s|unk|0x[0-9A-F]{2})>|\u2581/.test(text));
        expect(tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true })).toBe(text);
      }),
      { numRuns: 300 },
    );
    expect(tokenizer.decode(tokenizer.encode('\ufeff日😀'), { skipSpecialTokens: true })).toBe('\ufeff日😀');
  });

  it('marks broken bytes one by one', () => {
    const [first] = tokenizer.encode('日', { addSpecialTokens: false }).slice(-3);
    expect(tokenizer.decode([first!, first!])).toBe('\uFFFD\uFFFD');
  });

  it('honours add_space_prefix, add_bos_token and add_eos_token', () => {
    const plain = new Tokenizer(
      ggufTokenizer(
        storiesWith({
          'tokenizer.ggml.add_space_prefix': false,
          'tokenizer.ggml.add_bos_token': false,
          'tokenizer.ggml.add_eos_token': true,
        }),
      ),
    );
    const spaced = tokenizer.encode(' Once', { addSpecialTokens: false });
    expect([...plain.encode('\u2581Once')]).toEqual([403, 2]);
    expect([...plain.encode(' Once')]).toEqual([403, 2]);
    expect([...plain.encode('Once')]).not.toContain(403);
    expect(plain.decode([403])).toBe(' Once');
    expect(spaced.length).toBeGreaterThan(1);
  });

  it('survives being written to GGUF', async () => {
    const again = await throughFile(tokenizer);
    for (const text of texts) expect(again.encode(text)).toEqual(tokenizer.encode(text));
    expect(again.files.tokenizer).toEqual(tokenizer.files.tokenizer);
  });

  it('laid out as Gemma lays it out survives: runs of spaces, no space in front, a token without an embedding', async () => {
    const {
      model,
      normalizer: _,
      ...file
    } = tokenizer.files.tokenizer as JsonObject & {
      model: JsonObject & { vocab: Record<string, number>; merges: [string, string][] };
    };
    const space = '\u2581';
    const runs = [2, 3, 4].map((count, i) => ({ id: 512 + i, content: space.repeat(count) }));
    // The ways to make one run do not lie together, as in Gemma's file.
    const ways = [
      [3, 1],
      [2, 1],
      [2, 2],
      [1, 2],
      [1, 3],
      [1, 1],
    ].map((sizes) => sizes.map((count) => space.repeat(count)) as [string, string]);
    const gemma = new Tokenizer({
      ...tokenizer.files,
      tokenizer: {
        ...file,
        normalizer: { type: 'Replace', pattern: { String: ' ' }, content: space },
        pre_tokenizer: {
          type: 'Split',
          pattern: { String: ' ' },
          behavior: 'MergedWithPrevious',
          invert: false,
        },
        decoder: {
          type: 'Sequence',
          decoders: [
            { type: 'Replace', pattern: { String: space }, content: ' ' },
            { type: 'ByteFallback' },
            { type: 'Fuse' },
          ],
        },
        added_tokens: [
          ...(file.added_tokens as JsonObject[]),
          ...runs.map((run) => ({ ...run, special: false, normalized: false })),
          { id: 515, content: '<image>', special: true, normalized: false },
        ],
        model: {
          ...model,
          vocab: { ...model.vocab, ...Object.fromEntries(runs.map(({ id, content }) => [content, id])) },
          merges: [...ways, ...model.merges],
        },
      },
    });
    const again = await throughFile(gemma, 515);
    // A text that spells the replacement itself may be cut elsewhere, as by llama.cpp's converter.
    const usual = texts.filter((text) => !text.includes(space));
    for (const text of [...usual, 'a  b', 'a   b    c', `${' '.repeat(9)}x`]) {
      expect({ text, ids: [...again.encode(text)] }).toEqual({ text, ids: [...gemma.encode(text)] });
    }
    expect([...gemma.encode('a    b', { addSpecialTokens: false })]).toContain(514);
    expect(again.vocabularySize).toBe(515);
    expect(() => tokenizerFields(gemma, 514, NO_IDS)).toThrowError(/tokens, but the model only 514/);
  });

  it('is refused for export when its merges do not follow from scores', () => {
    const model = tokenizer.files.tokenizer.model as JsonObject & { merges: [string, string][] };
    const [first, ...rest] = model.merges;
    const files = {
      ...tokenizer.files,
      tokenizer: { ...tokenizer.files.tokenizer, model: { ...model, merges: rest } },
    };
    expect(first).toBeDefined();
    expect(() => tokenizerFields(new Tokenizer(files), 512, NO_IDS)).toThrowError(
      /merges do not follow from one score/,
    );
  });
});

describe('a byte-level tokenizer from GGUF', () => {
  const { texts, cases } = read('../../text/fixtures/tokenizers.json') as {
    texts: string[];
    cases: { name: string; tokenizer: JsonObject }[];
  };

  it.each(cases)('that cuts words like $name survives being written', async ({ name, tokenizer: file }) => {
    const config = { bos_token: '<|im_start|>', eos_token: '<|im_end|>', pad_token: '<|endoftext|>' };
    const tokenizer = new Tokenizer({ tokenizer: file, config, chatTemplate: '{{ messages[0].content }}' });
    const fields = tokenizerFields(tokenizer, tokenizer.vocabularySize + 3, NO_IDS);
    expect(fields.find((field) => field.key === 'tokenizer.ggml.pre')?.value).toBe(name);
    const again = await throughFile(tokenizer, tokenizer.vocabularySize + 3);
    for (const text of texts) expect([...again.encode(text)]).toEqual([...tokenizer.encode(text)]);
    expect(again.files.chatTemplate).toBe('{{ messages[0].content }}');
    expect([again.bosTokenId, again.eosTokenId, again.padTokenId]).toEqual([1, 2, 0]);
    expect(again.vocabularySize).toBe(tokenizer.vocabularySize + 3);
  });

  const file = cases[0]!.tokenizer;

  it('that normalises to NFC goes by the name that does so too', async () => {
    const config = { eos_token: '<|im_end|>' };
    for (const normalizer of [{ type: 'NFC' }, { type: 'Sequence', normalizers: [{ type: 'NFC' }] }]) {
      const pythia = new Tokenizer({ tokenizer: { ...file, normalizer }, config });
      const fields = tokenizerFields(pythia, pythia.vocabularySize, NO_IDS);
      expect(fields.find(({ key }) => key === 'tokenizer.ggml.pre')?.value).toBe('olmo');
      const again = await throughFile(pythia);
      // An e and its accent, apart: one letter to NFC.
      expect([...again.encode('cafe\u0301')]).toEqual([...pythia.encode('cafe\u0301')]);
      expect([...again.encode('cafe\u0301')]).toEqual([...again.encode('caf\u00e9')]);
    }
  });

  it('with a normalizer that llama.cpp has no name for cannot be exported', () => {
    for (const normalizer of [{ type: 'NFKC' }, { type: 'Sequence', normalizers: [{ type: 'Lowercase' }] }]) {
      const tokenizer = new Tokenizer({ tokenizer: { ...file, normalizer }, config: {} });
      expect(() => tokenizerFields(tokenizer, 1000, NO_IDS)).toThrowError(
        expect.objectContaining({ code: 'gguf-unsupported', message: expect.stringContaining('normalizer') }),
      );
    }
  });

  const tokenIds = (tokenizer: Tokenizer, model: Parameters<typeof tokenizerFields>[2]) =>
    Object.fromEntries(
      tokenizerFields(tokenizer, tokenizer.vocabularySize, model)
        .filter(({ key }) => key.endsWith('_token_id'))
        .map(({ key, value }) => [key.slice('tokenizer.ggml.'.length), value]),
    );

  it("that names no BOS and EOS has the model's, because llama.cpp would take commas", () => {
    const unnamed = new Tokenizer({ tokenizer: file, config: {} });
    const ids = { bos_token_id: 1, eos_token_id: 0 };
    expect(tokenIds(unnamed, { bosTokenId: 1, eosTokenIds: [50_256, 0] })).toEqual(ids);
    for (const eosTokenIds of [[], [50_256]]) {
      expect(() => tokenIds(unnamed, { bosTokenId: 1, eosTokenIds })).toThrowError(
        expect.objectContaining({
          code: 'gguf-unsupported',
          message: expect.stringContaining('end-of-text'),
        }),
      );
    }
    const named = new Tokenizer({
      tokenizer: file,
      config: { bos_token: '<|im_start|>', eos_token: '<|im_end|>' },
    });
    expect(tokenIds(named, { bosTokenId: 0, eosTokenIds: [0] })).toEqual({
      bos_token_id: 1,
      eos_token_id: 2,
    });
  });

  it('says where turns end when that is not at EOS', () => {
    const withEos = (eos_token: string) =>
      new Tokenizer({
        tokenizer: file,
        config: { eos_token },
        chatTemplate: '{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}',
      });
    expect(tokenIds(withEos('<|endoftext|>'), NO_IDS)).toEqual({ eos_token_id: 0, eot_token_id: 2 });
    expect(tokenIds(withEos('<|im_end|>'), NO_IDS)).toEqual({ eos_token_id: 2 });
  });

  it('with an unknown pre-tokenizer is an error, and so is an unknown kind', () => {
    const bpe = { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.merges': ['a b'] };
    expect(() => ggufTokenizer(storiesWith({ ...bpe, 'tokenizer.ggml.pre': 'martian' }))).toThrowError(
      expect.objectContaining({ code: 'gguf-unsupported', message: expect.stringContaining('"martian"') }),
    );
    expect(() => ggufTokenizer(storiesWith({ 'tokenizer.ggml.model': 'bert' }))).toThrowError(
      /of the kind bert/,
    );
  });

  it('with a damaged vocabulary is an error', () => {
    expect(() => ggufTokenizer(storiesWith({ 'tokenizer.ggml.tokens': undefined }))).toThrowError(
      /missing or empty/,
    );
    expect(() => ggufTokenizer(storiesWith({ 'tokenizer.ggml.tokens': ['a', 'a'] }))).toThrowError(/types/);
    expect(() => ggufTokenizer(storiesWith({ 'tokenizer.ggml.tokens': 'abc' }))).toThrowError(
      /tokenizer.ggml.tokens should be a list of strings/,
    );
    expect(() => ggufTokenizer(storiesWith({ 'tokenizer.ggml.scores': undefined }))).toThrowError(
      /without scores/,
    );
  });

  it('whose way of cutting words llama.cpp does not know cannot be exported', () => {
    const { tokenizer: file } = cases[0]!;
    const preTokenizer = {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: false }, file.pre_tokenizer],
    };
    const tokenizer = new Tokenizer({ tokenizer: { ...file, pre_tokenizer: preTokenizer }, config: {} });
    expect(() => tokenizerFields(tokenizer, 1000, NO_IDS)).toThrowError(/no name for the pre-tokenizer/);
    expect(() => tokenizerFields(new Tokenizer({ tokenizer: file, config: {} }), 10, NO_IDS)).toThrowError(
      /only 10 embeddings/,
    );
  });
});
