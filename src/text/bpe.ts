import type { JsonObject } from './json.ts';

/** An added token as tokenizer.json states it. */
export interface AddedTokenEntry {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface TextSurroundings {
  /** Token put before every text. */
  readonly bos?: { readonly token: string; readonly id: number };
  /** Token put after every text. */
  readonly eos?: { readonly token: string; readonly id: number };
}

export interface ByteLevelBpe {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly addedTokens: readonly AddedTokenEntry[];
  /** `pre_tokenizer` of tokenizer.json; ends in a `ByteLevel` stage. */
  readonly preTokenizer: JsonObject;
  readonly normalizer?: JsonObject;
  /** A word that is itself a token is not merged from its bytes (Llama 3). */
  readonly ignoreMerges?: boolean;
  readonly surroundings?: TextSurroundings;
}

/** tokenizer.json of a byte-level BPE tokenizer (GPT-2 and its descendants). */
export function byteLevelBpe(parts: ByteLevelBpe): JsonObject {
  return {
    ...layout(parts.addedTokens),
    normalizer: parts.normalizer ?? null,
    pre_tokenizer: parts.preTokenizer,
    post_processor: surroundingTemplate(parts.surroundings ?? {}),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: parts.ignoreMerges ?? false,
      vocab: Object.fromEntries(parts.vocabulary),
      merges: parts.merges,
    },
  };
}

export interface SentencePieceBpe {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly addedTokens: readonly AddedTokenEntry[];
  readonly unkToken: string;
  readonly byteFallback: boolean;
  /** A space is put before every stretch of text (SentencePiece's `add_dummy_prefix`). */
  readonly addSpacePrefix: boolean;
  readonly surroundings?: TextSurroundings;
}

/** What SentencePiece writes for a space: U+2581. */
export const SENTENCEPIECE_SPACE = '\u2581';

/** tokenizer.json of a SentencePiece BPE tokenizer (Llama 2 and its relatives), as `transformers` lays it out. */
export function sentencePieceBpe(parts: SentencePieceBpe): JsonObject {
  const replaceSpace = { type: 'Replace', pattern: { String: ' ' }, content: SENTENCEPIECE_SPACE };
  const prepend = { type: 'Prepend', prepend: SENTENCEPIECE_SPACE };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    ...layout(parts.addedTokens),
    normalizer: {
      type: 'Sequence',
      normalizers: parts.addSpacePrefix ? [prepend, replaceSpace] : [replaceSpace],
    },
    pre_tokenizer: null,
    post_processor: surroundingTemplate(parts.surroundings ?? {}),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SENTENCEPIECE_SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(parts.addSpacePrefix ? [strip] : []),
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: parts.unkToken,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: parts.byteFallback,
      ignore_merges: false,
      vocab: Object.fromEntries(parts.vocabulary),
      merges: parts.merges,
    },
  };
}

/**
 * The merges that a SentencePiece vocabulary implies. SentencePiece joins the adjacent pair whose union scores highest,
 * so the pieces' scores rank the merges; among several ways to make one piece, the earlier left piece comes first.
 *
 * @param scores score of every piece that merging may produce, by piece
 */
export function mergesFromScores(
  vocabulary: ReadonlyMap<string, number>,
  scores: ReadonlyMap<string, number>,
): [string, string][] {
  const ranked: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  for (const [piece, score] of scores) {
    const characters = [...piece];
    let head = '';
    for (const character of characters.slice(0, -1)) {
      head += character;
      const tail = piece.slice(head.length);
      const left = vocabulary.get(head);
      const right = vocabulary.get(tail);
      if (left !== undefined && right !== undefined) ranked.push({ pair: [head, tail], score, left, right });
    }
  }
  ranked.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return ranked.map((entry) => entry.pair);
}

function layout(added: readonly AddedTokenEntry[]): JsonObject {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...added]
      .sort((a, b) => a.id - b.id)
      .map(({ id, content, special }) => ({ id, content, ...flags, special })),
  };
}

function surroundingTemplate({ bos, eos }: TextSurroundings): JsonObject {
  const special = (token: string, type: number) => ({ SpecialToken: { id: token, type_id: type } });
  const around = (sequence: 'A' | 'B', type: number) => [
    ...(bos === undefined ? [] : [special(bos.token, type)]),
    { Sequence: { id: sequence, type_id: type } },
    ...(eos === undefined ? [] : [special(eos.token, type)]),
  ];
  const tokens = [bos, eos].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: Object.fromEntries(
      tokens.map(({ token, id }) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}
