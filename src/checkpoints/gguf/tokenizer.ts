import { ModelError } from '../../errors.ts';
import {
  type AddedTokenEntry,
  byteLevelBpe,
  mergesFromScores,
  sentencePieceBpe,
  type TextSurroundings,
} from '../../text/bpe.ts';
import type { JsonObject } from '../../text/json.ts';
import type { TokenizerFiles } from '../../text/tokenizer.ts';
import { Metadata } from './metadata.ts';
import { preTokenizerNamed } from './pre-tokenizers.ts';
import type { GgufHeader } from './read.ts';

/** `tokenizer.ggml.token_type`. */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/**
 * The tokenizer files that `transformers` would have for the tokenizer in this GGUF file: byte-level BPE (`gpt2`) with
 * its named pre-tokenizer, or SentencePiece BPE (`llama`), whose merges are rebuilt from the pieces' scores.
 */
export function ggufTokenizer(header: GgufHeader): TokenizerFiles {
  const metadata = new Metadata(header.metadata, header.path);
  const model = metadata.requireText('tokenizer.ggml.model');
  const vocabulary = new Vocabulary(metadata, header.path);
  const tokenizer =
    model === 'gpt2'
      ? byteLevel(metadata, vocabulary, header.path)
      : model === 'llama'
        ? sentencePiece(metadata, vocabulary)
        : undefined;
  if (tokenizer === undefined) throw metadata.unsupported(`a tokenizer of the kind ${model}`);
  const chatTemplate = metadata.text('tokenizer.chat_template');
  return {
    tokenizer,
    config: tokenizerConfig(header, metadata, vocabulary),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  };
}

class Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly ids: ReadonlyMap<string, number>;

  constructor(metadata: Metadata, path: string) {
    this.tokens = metadata.texts('tokenizer.ggml.tokens') ?? [];
    this.types = metadata.numbers('tokenizer.ggml.token_type') ?? this.tokens.map(() => TOKEN_TYPES.normal);
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
    const problem =
      this.tokens.length === 0
        ? 'tokenizer.ggml.tokens is missing or empty'
        : this.types.length !== this.tokens.length
          ? `there are ${this.tokens.length} tokens, but ${this.types.length} token types`
          : this.ids.size !== this.tokens.length
            ? 'a token occurs twice in tokenizer.ggml.tokens'
            : undefined;
    if (problem !== undefined) throw new ModelError('gguf-invalid', `${path}: ${problem}.`);
  }

  /** Tokens that are cut out of a text before it is split into words. */
  get added(): AddedTokenEntry[] {
    const cutOut: readonly number[] = [TOKEN_TYPES.control, TOKEN_TYPES.userDefined, TOKEN_TYPES.unknown];
    return this.tokens
      .map((content, id) => ({ id, content, special: this.types[id] !== TOKEN_TYPES.userDefined }))
      .filter(({ id }) => cutOut.includes(this.types[id]!));
  }

  /** The token that a metadata key names by id. */
  named(metadata: Metadata, key: string): { token: string; id: number } | undefined {
    const id = metadata.number(`tokenizer.ggml.${key}`);
    const token = id === undefined ? undefined : this.tokens[id];
    return id === undefined || token === undefined ? undefined : { token, id };
  }
}

function byteLevel(metadata: Metadata, vocabulary: Vocabulary, path: string): JsonObject {
  // llama.cpp, too, takes a file that names no pre-tokenizer for one with the default.
  const pre = preTokenizerNamed(metadata.text('tokenizer.ggml.pre') ?? 'default', path);
  const merges = (metadata.texts('tokenizer.ggml.merges') ?? []).map((line) => {
    const at = line.indexOf(' ', 1);
    if (at < 0)
      throw new ModelError('gguf-invalid', `${path}: ${JSON.stringify(line)} is not a merge of two tokens.`);
    return [line.slice(0, at), line.slice(at + 1)] as const;
  });
  return byteLevelBpe({
    vocabulary: vocabulary.ids,
    merges,
    addedTokens: vocabulary.added,
    preTokenizer: pre.preTokenizer,
    ...(pre.normalizer === undefined ? {} : { normalizer: pre.normalizer }),
    ignoreMerges: pre.ignoreMerges ?? false,
    surroundings: surroundings(metadata, vocabulary, pre.addBos ?? false),
  });
}

function sentencePiece(metadata: Metadata, vocabulary: Vocabulary): JsonObject {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores === undefined) throw metadata.unsupported('a SentencePiece tokenizer without scores');
  const pieces = vocabulary.tokens
    .map((piece, id) => [piece, scores[id]!] as const)
    .filter((_, id) => vocabulary.types[id] === TOKEN_TYPES.normal);
  return sentencePieceBpe({
    vocabulary: vocabulary.ids,
    merges: mergesFromScores(vocabulary.ids, new Map(pieces)),
    addedTokens: vocabulary.added,
    unkToken: vocabulary.named(metadata, 'unknown_token_id')?.token ?? '<unk>',
    byteFallback: vocabulary.types.includes(TOKEN_TYPES.byte),
    addSpacePrefix: metadata.flag('tokenizer.ggml.add_space_prefix') ?? true,
    surroundings: surroundings(metadata, vocabulary, true),
  });
}

function surroundings(
  metadata: Metadata,
  vocabulary: Vocabulary,
  addBosByDefault: boolean,
): TextSurroundings {
  const bos = vocabulary.named(metadata, 'bos_token_id');
  const eos = vocabulary.named(metadata, 'eos_token_id');
  const addBos = metadata.flag('tokenizer.ggml.add_bos_token') ?? addBosByDefault;
  const addEos = metadata.flag('tokenizer.ggml.add_eos_token') ?? false;
  return {
    ...(addBos && bos !== undefined ? { bos } : {}),
    ...(addEos && eos !== undefined ? { eos } : {}),
  };
}

function tokenizerConfig(header: GgufHeader, metadata: Metadata, vocabulary: Vocabulary): JsonObject {
  const keys = {
    bos_token: 'bos_token_id',
    eos_token: 'eos_token_id',
    pad_token: 'padding_token_id',
    unk_token: 'unknown_token_id',
  };
  const named = Object.entries(keys)
    .map(([name, key]) => [name, vocabulary.named(metadata, key)?.token] as const)
    .filter(([, token]) => token !== undefined);
  const context = metadata.number(`${String(header.metadata.get('general.architecture'))}.context_length`);
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...Object.fromEntries(named),
    clean_up_tokenization_spaces: false,
    ...(context === undefined ? {} : { model_max_length: context }),
  };
}
