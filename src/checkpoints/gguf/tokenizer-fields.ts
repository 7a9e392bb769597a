import { ModelError } from '../../errors.ts';
import type { ModelConfig } from '../../models/index.ts';
import { mergesFromScores, SENTENCEPIECE_SPACE } from '../../text/bpe.ts';
import { defaultTemplate } from '../../text/chat-template.ts';
import { isJsonObject, type JsonObject } from '../../text/json.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import type { GgufField } from './format.ts';
import { nameOfPreTokenizer } from './pre-tokenizers.ts';
import { TOKEN_TYPES } from './tokenizer.ts';

type Merge = readonly [string, string];

/** The ids that a model's configuration names. */
export type ModelTokenIds = Pick<ModelConfig, 'bosTokenId' | 'eosTokenIds'>;

/**
 * A tokenizer as GGUF metadata. Throws `gguf-unsupported` when llama.cpp has no equal of it: a file with a nearly
 * right tokenizer would give wrong ids without a word.
 *
 * @param rows rows of the model's embedding; those beyond the vocabulary get unused tokens
 * @param model whose BOS and EOS stand in for those that the tokenizer does not name
 */
export function tokenizerFields(tokenizer: Tokenizer, rows: number, model: ModelTokenIds): GgufField[] {
  const bpe = tokenizer.files.tokenizer.model;
  if (!isJsonObject(bpe) || !Array.isArray(bpe.merges) || !isJsonObject(bpe.vocab)) {
    throw unsupported('only BPE tokenizers can be exported');
  }
  const merges = (bpe.merges as (string | [string, string])[]).map((merge): Merge => {
    if (typeof merge !== 'string') return merge;
    const at = merge.indexOf(' ', 1);
    return [merge.slice(0, at), merge.slice(at + 1)];
  });
  const sentencePiece = bpe.byte_fallback === true;
  const { tokens, types } = vocabulary(tokenizer, rows, sentencePiece);
  const kind = sentencePiece
    ? sentencePieceFields(tokenizer.files.tokenizer, bpe, merges, tokens, types)
    : byteLevelFields(tokenizer.files.tokenizer, bpe, merges);
  return [
    ...kind,
    {
      key: 'tokenizer.ggml.tokens',
      type: 'array',
      items: 'string',
      value: writtenTokens(tokens, types, sentencePiece),
    },
    { key: 'tokenizer.ggml.token_type', type: 'array', items: 'int32', value: types },
    ...specialFields(tokenizer, model),
  ];
}

/** As llama.cpp's own converter, which wants pieces that are taken out of the text whole as the text spells them. */
function writtenTokens(
  tokens: readonly string[],
  types: readonly number[],
  sentencePiece: boolean,
): readonly string[] {
  if (!sentencePiece) return tokens;
  return tokens.map((token, id) =>
    types[id] === TOKEN_TYPES.userDefined ? token.replaceAll(SENTENCEPIECE_SPACE, ' ') : token,
  );
}

function vocabulary(
  tokenizer: Tokenizer,
  rows: number,
  sentencePiece: boolean,
): { tokens: string[]; types: number[] } {
  // Gemma 3's text models share a tokenizer that has one more token, for images: no text can hold it.
  const beyond = Array.from({ length: Math.max(0, tokenizer.vocabularySize - rows) }, (_, i) => rows + i);
  if (!beyond.every((id) => tokenizer.isSpecial(id))) {
    throw unsupported(
      `the tokenizer has ${tokenizer.vocabularySize} tokens, but the model only ${rows} embeddings`,
    );
  }
  const { added_tokens: added } = tokenizer.files.tokenizer;
  const addedIds = new Set(Array.isArray(added) ? added.filter(isJsonObject).map((entry) => entry.id) : []);
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < rows; id++) {
    const token = tokenizer.tokenOf(id);
    tokens.push(token ?? `[PAD${id}]`);
    if (token === undefined) types.push(TOKEN_TYPES.unused);
    else if (sentencePiece && id === tokenizer.unkTokenId) types.push(TOKEN_TYPES.unknown);
    else if (tokenizer.isSpecial(id)) types.push(TOKEN_TYPES.control);
    else if (addedIds.has(id)) types.push(TOKEN_TYPES.userDefined);
    else types.push(sentencePiece && /^<0x[0-9A-F]{2}>$/.test(token) ? TOKEN_TYPES.byte : TOKEN_TYPES.normal);
  }
  return { tokens, types };
}

function byteLevelFields(file: JsonObject, model: JsonObject, merges: readonly Merge[]): GgufField[] {
  const { pre_tokenizer: preTokenizer, normalizer = null } = file;
  const name = nameOfPreTokenizer(preTokenizer, normalizer, model.ignore_merges === true);
  if (name === undefined) {
    const normalized = normalizer === null ? '' : ` after the normalizer ${JSON.stringify(normalizer)}`;
    throw unsupported(
      `llama.cpp has no name for the pre-tokenizer ${JSON.stringify(preTokenizer)}${normalized}`,
    );
  }
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: name },
    { key: 'tokenizer.ggml.add_space_prefix', type: 'bool', value: false },
    {
      key: 'tokenizer.ggml.merges',
      type: 'array',
      items: 'string',
      value: merges.map((merge) => merge.join(' ')),
    },
  ];
}

function sentencePieceFields(
  file: JsonObject,
  model: JsonObject,
  merges: readonly Merge[],
  tokens: readonly string[],
  types: readonly number[],
): GgufField[] {
  const steps = normalizerSteps(file.normalizer);
  const addSpacePrefix = steps.join() === 'Prepend,Replace';
  if (!cutsNothing(file.pre_tokenizer) || !(addSpacePrefix || steps.join() === 'Replace')) {
    throw unsupported(
      `this SentencePiece layout has no equal in llama.cpp (it should replace spaces by ${SENTENCEPIECE_SPACE})`,
    );
  }
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'default' },
    {
      key: 'tokenizer.ggml.scores',
      type: 'array',
      items: 'float32',
      value: scoresOf(model, merges, tokens, types),
    },
    { key: 'tokenizer.ggml.add_space_prefix', type: 'bool', value: addSpacePrefix },
  ];
}

function normalizerSteps(normalizer: unknown): unknown[] {
  if (!isJsonObject(normalizer)) return [];
  if (normalizer.type !== 'Sequence') return [normalizer.type];
  return Array.isArray(normalizer.normalizers) ? normalizer.normalizers.flatMap(normalizerSteps) : [];
}

/** Gemma's file cuts at spaces, of which its normalizer leaves none. */
function cutsNothing(preTokenizer: unknown): boolean {
  if (!isJsonObject(preTokenizer)) return preTokenizer === null || preTokenizer === undefined;
  const { type, pattern } = preTokenizer;
  return type === 'Split' && isJsonObject(pattern) && pattern.String === ' ';
}

/** Scores whose order is that of the merges; checked, because llama.cpp knows a tokenizer by its scores alone. */
function scoresOf(
  model: JsonObject,
  merges: readonly Merge[],
  tokens: readonly string[],
  types: readonly number[],
): number[] {
  const scores = new Map<string, number>();
  for (const [left, right] of merges) {
    if (!scores.has(left + right)) scores.set(left + right, -scores.size - 1);
  }
  const ids = new Map(Object.entries(model.vocab as Record<string, number>));
  const unscored = tokens.filter((token, id) => types[id] === TOKEN_TYPES.normal && !scores.has(token));
  const implied = mergesFromScores(
    ids,
    new Map([...scores, ...unscored.map((token) => [token, -Infinity] as const)]),
  );
  // Pieces that are taken out of the text whole are never merged, so their merges may come in any order.
  const whole = new Set(tokens.filter((_, id) => types[id] === TOKEN_TYPES.userDefined));
  const pieces = (pairs: readonly Merge[]) =>
    pairs
      .map((pair) => pair.join(''))
      .filter((piece) => !whole.has(piece))
      .join('\n');
  const pairs = (list: readonly Merge[]) =>
    list
      .map((pair) => pair.join(' '))
      .sort()
      .join('\n');
  if (pieces(implied) !== pieces(merges) || pairs(implied) !== pairs(merges)) {
    throw unsupported(
      'its merges do not follow from one score per piece, which is all that llama.cpp stores',
    );
  }
  return tokens.map((token) => scores.get(token) ?? 0);
}

function specialFields(tokenizer: Tokenizer, model: ModelTokenIds): GgufField[] {
  const id = (name: string, value: number | undefined): GgufField[] =>
    value === undefined ? [] : [{ key: `tokenizer.ggml.${name}_token_id`, type: 'uint32', value }];
  const { prefix, suffix } = tokenizer;
  if (
    prefix.some((token) => token !== tokenizer.bosTokenId) ||
    suffix.some((token) => token !== tokenizer.eosTokenId)
  ) {
    throw unsupported('it surrounds texts with other tokens than BOS and EOS');
  }
  const { chatTemplate } = tokenizer.files;
  const template = chatTemplate === undefined ? undefined : defaultTemplate(chatTemplate);
  const named = (ids: readonly (number | undefined)[]) =>
    ids.find((token) => token !== undefined && tokenizer.tokenOf(token) !== undefined);
  const eos = tokenizer.eosTokenId ?? named(model.eosTokenIds);
  // llama.cpp gives files without an EOS token 11, which is a comma in GPT-2's vocabulary.
  if (eos === undefined) {
    throw new ModelError(
      'gguf-unsupported',
      'This tokenizer cannot be written to GGUF: neither it nor config.json names an end-of-text token.',
      { hint: 'Set eos_token in tokenizer_config.json, or eos_token_id in config.json.' },
    );
  }
  const endOfTurn = tokenizer.endOfTurnId;
  return [
    ...id('bos', tokenizer.bosTokenId ?? named([model.bosTokenId])),
    ...id('eos', eos),
    ...id('eot', endOfTurn === eos ? undefined : endOfTurn),
    ...id('padding', tokenizer.padTokenId),
    ...id('unknown', tokenizer.unkTokenId),
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: prefix.length > 0 },
    { key: 'tokenizer.ggml.add_eos_token', type: 'bool', value: suffix.length > 0 },
    ...(template === undefined
      ? []
      : [{ key: 'tokenizer.chat_template', type: 'string', value: template } as const]),
  ];
}

function unsupported(problem: string): ModelError {
  return new ModelError('gguf-unsupported', `This tokenizer cannot be written to GGUF: ${problem}.`, {
    hint: 'Export a Hugging Face directory instead.',
  });
}
