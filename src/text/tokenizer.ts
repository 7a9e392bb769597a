import { createHash } from 'node:crypto';

import { ModelError } from '../errors.ts';
import { AddedTokenSplitter, readAddedTokens } from './added-tokens.ts';
import {
  type ChatMessage,
  ChatTemplate,
  type ChatTemplateSource,
  type RenderOptions,
} from './chat-template.ts';
import { exactDecoder, type TokenDecoder } from './decoder.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { LibraryTokenizer } from './library.ts';
import { byteLevelSplitter, type WordSplitter } from './pre-tokenizer.ts';

/** A tokenizer's files as parsed JSON, in the Hugging Face layout. What `Tokenizer` is made of, and what is saved. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json, without its chat template. */
  readonly config: JsonObject;
  readonly specialTokensMap?: JsonObject;
  /** chat_template.jinja, or `chat_template` of tokenizer_config.json. */
  readonly chatTemplate?: ChatTemplateSource;
}

export interface EncodeOptions {
  /** Adds what the tokenizer puts around a text (BOS, EOS), unless the text has it already. Default true. */
  readonly addSpecialTokens?: boolean;
}

export type EncodeChatOptions = Pick<RenderOptions, 'addGenerationPrompt' | 'now'>;

export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/** Words longer than this are rare and not kept; the map of known words is emptied when it is this large. */
const LONGEST_KNOWN_WORD = 64;
const MOST_KNOWN_WORDS = 400_000;

/** Stands for an answer where only what follows it matters: no template writes this word itself. */
const ANSWER = 'mallowspo-answer';

/**
 * Text ↔ token ids, with the ids of `transformers`.
 *
 * `encode` differs from it in one thing on purpose: special tokens are never doubled. A text that begins with the BOS
 * token (as many rendered chats do) gets no second one.
 */
export class Tokenizer {
  readonly files: TokenizerFiles;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly padToken: string | undefined;
  readonly unkToken: string | undefined;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  readonly unkTokenId: number | undefined;
  /** Highest token id plus one, added tokens included. A model's embedding may have more rows. */
  readonly vocabularySize: number;
  /** Ids that `encode` puts before and after a text: BOS, EOS or nothing. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** Undefined when the tokenizer states none: its model is not a chat model. */
  readonly chatTemplate: ChatTemplate | undefined;

  readonly #library: LibraryTokenizer;
  readonly #verbatim: AddedTokenSplitter;
  readonly #normalized: AddedTokenSplitter;
  readonly #words: WordSplitter | undefined;
  readonly #knownWords = new Map<string, readonly number[]>();
  readonly #decodeTokens: TokenDecoder;
  readonly #specialIds: ReadonlySet<number>;
  #endOfTurn: { readonly id: number | undefined } | undefined;
  #hash: string | undefined;

  constructor(files: TokenizerFiles) {
    this.files = files;
    const { tokenizer, config, specialTokensMap = {} } = files;
    this.#library = openLibrary(tokenizer, config);
    const added = readAddedTokens(
      Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens.filter(isJsonObject) : [],
    );
    const normalizer = this.#library.normalizer;
    this.#verbatim = new AddedTokenSplitter(
      added.filter((token) => !token.normalized),
      (token) => token.content,
    );
    this.#normalized = new AddedTokenSplitter(
      added.filter((token) => token.normalized),
      (token) => (normalizer === null ? token.content : normalizer(token.content)),
    );
    this.#words = byteLevelSplitter(tokenizer.pre_tokenizer);
    this.#decodeTokens = exactDecoder(tokenizer.decoder, added) ?? libraryDecoder(this.#library);
    this.vocabularySize = this.#library.model.vocab.length;

    const name = (key: string) => tokenText(config[key]) ?? tokenText(specialTokensMap[key]);
    this.bosToken = name('bos_token');
    this.eosToken = name('eos_token');
    this.padToken = name('pad_token');
    this.unkToken = name('unk_token');
    this.bosTokenId = this.#requireId('bos_token', this.bosToken);
    this.eosTokenId = this.#requireId('eos_token', this.eosToken);
    this.padTokenId = this.#requireId('pad_token', this.padToken);
    this.unkTokenId = this.#requireId('unk_token', this.unkToken);
    const named = [this.bosTokenId, this.eosTokenId, this.padTokenId, this.unkTokenId];
    this.#specialIds = new Set([
      ...added.filter((token) => token.special).map((token) => token.id),
      ...named.filter((id) => id !== undefined),
    ]);
    [this.prefix, this.suffix] = this.#surroundings();
    this.chatTemplate = files.chatTemplate === undefined ? undefined : new ChatTemplate(files.chatTemplate);
  }

  /** Token ids of a text. Special tokens written in the text become those tokens. */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): Int32Array {
    const ids: number[] = [];
    for (const [index, section] of this.#verbatim.split(text).entries()) {
      if (typeof section === 'string') this.#encodeSection(section, index, ids);
      else ids.push(section.id);
    }
    if (!addSpecialTokens) return Int32Array.from(ids);
    const prefix = this.prefix.every((id, i) => ids[i] === id) ? [] : this.prefix;
    const tail = ids.length - this.suffix.length;
    const suffix = tail >= 0 && this.suffix.every((id, i) => ids[tail + i] === id) ? [] : this.suffix;
    return Int32Array.from([...prefix, ...ids, ...suffix]);
  }

  /** The exact text of token ids: nothing is cleaned up. Ids without a token (padding rows of an embedding) are skipped. */
  decode(ids: Iterable<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      if (skipSpecialTokens && this.#specialIds.has(id)) continue;
      const token = this.#library.model.vocab[id];
      if (token !== undefined) tokens.push(token);
    }
    return this.#decodeTokens(tokens);
  }

  /** A conversation as text, by the model's chat template. */
  renderChat(messages: readonly ChatMessage[], options: EncodeChatOptions = {}): string {
    if (this.chatTemplate === undefined) {
      throw new ModelError(
        'chat-template-missing',
        'This tokenizer has no chat template, so it cannot render messages.',
        {
          hint: 'Use a chat model, put a chat_template.jinja beside tokenizer.json, or read the data in the style text.',
        },
      );
    }
    return this.chatTemplate.render(messages, { ...options, variables: this.#templateVariables() });
  }

  /** A conversation as token ids. The template writes its own special tokens; none are added. */
  encodeChat(messages: readonly ChatMessage[], options: EncodeChatOptions = {}): Int32Array {
    return this.encode(this.renderChat(messages, options), { addSpecialTokens: false });
  }

  /**
   * The special token that ends the assistant's turn in a rendered chat: what training on chats teaches as the end of an
   * answer. It need not be the EOS token: the base models of Qwen2.5 end texts with `<|endoftext|>` and turns with `<|im_end|>`.
   * Undefined without a chat template, and where turns end in plain text.
   */
  get endOfTurnId(): number | undefined {
    this.#endOfTurn ??= { id: this.#findEndOfTurn() };
    return this.#endOfTurn.id;
  }

  /** The token's string in the vocabulary, or undefined for an id without one. */
  tokenOf(id: number): string | undefined {
    return this.#library.model.vocab[id];
  }

  idOf(token: string): number | undefined {
    return this.#library.model.tokens_to_ids.get(token);
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** SHA-256 over everything that decides ids or rendered chats. */
  get hash(): string {
    const { tokenizer, config, specialTokensMap = {}, chatTemplate = null } = this.files;
    this.#hash ??= createHash('sha256')
      .update(JSON.stringify([tokenizer, config, specialTokensMap, chatTemplate]))
      .digest('hex');
    return this.#hash;
  }

  #findEndOfTurn(): number | undefined {
    if (this.chatTemplate === undefined) return undefined;
    let text: string;
    try {
      text = this.renderChat([
        { role: 'user', content: 'question' },
        { role: 'assistant', content: ANSWER },
      ]);
    } catch (error) {
      // A template may refuse this conversation and still serve those that it was written for.
      if (error instanceof ModelError) return undefined;
      throw error;
    }
    const at = text.lastIndexOf(ANSWER);
    if (at < 0) return undefined;
    const closing = this.encode(text.slice(at + ANSWER.length), { addSpecialTokens: false });
    return closing.find((id) => this.#specialIds.has(id));
  }

  #encodeSection(text: string, index: number, ids: number[]): void {
    const normalizer = this.#library.normalizer;
    for (const section of this.#normalized.split(normalizer === null ? text : normalizer(text))) {
      if (typeof section !== 'string') ids.push(section.id);
      else if (this.#words !== undefined) this.#encodeWords(section, this.#words, ids);
      else {
        const preTokenizer = this.#library.pre_tokenizer;
        const words = preTokenizer === null ? [section] : preTokenizer(section, { section_index: index });
        // Not spread: a text may have more tokens than a call may have arguments.
        for (const id of this.#merge(words)) ids.push(id);
      }
    }
  }

  #encodeWords(text: string, splitter: WordSplitter, ids: number[]): void {
    for (const word of splitter.split(text)) {
      let known = this.#knownWords.get(word);
      if (known === undefined) {
        known = this.#merge([splitter.spell(word)]);
        this.#remember(word, known);
      }
      for (const id of known) ids.push(id);
    }
  }

  #remember(word: string, ids: readonly number[]): void {
    if (word.length > LONGEST_KNOWN_WORD) return;
    if (this.#knownWords.size >= MOST_KNOWN_WORDS) this.#knownWords.clear();
    // A slice of a string keeps the whole string alive; the copy does not.
    this.#knownWords.set(Buffer.from(word, 'utf16le').toString('utf16le'), ids);
  }

  #merge(words: string[]): number[] {
    const model = this.#library.model;
    const ids: number[] = [];
    for (const token of model(words)) {
      const id = model.tokens_to_ids.get(token) ?? model.unk_token_id;
      if (id !== undefined) ids.push(id);
    }
    return ids;
  }

  #requireId(key: string, token: string | undefined): number | undefined {
    if (token === undefined) return undefined;
    const id = this.idOf(token);
    if (id !== undefined) return id;
    throw new ModelError(
      'tokenizer-special-token',
      `tokenizer_config.json names ${JSON.stringify(token)} as ${key}, but the vocabulary has no such token.`,
      { hint: 'Add the token to added_tokens of tokenizer.json, or correct tokenizer_config.json.' },
    );
  }

  /** Ids before and after every text. As in transformers 5, explicit flags of the configuration win over the template. */
  #surroundings(): [number[], number[]] {
    const { add_bos_token: addBos, add_eos_token: addEos } = this.files.config;
    if (typeof addBos === 'boolean' || typeof addEos === 'boolean') {
      return [
        addBos === true && this.bosTokenId !== undefined ? [this.bosTokenId] : [],
        addEos === true && this.eosTokenId !== undefined ? [this.eosTokenId] : [],
      ];
    }
    const postProcessor = this.#library.post_processor;
    if (postProcessor === null) return [[], []];
    const marker = '\u0000text\u0000';
    const { tokens } = postProcessor([marker], null, true);
    const at = tokens.indexOf(marker);
    const idsOf = (names: string[]) => names.map((token) => this.#requireId('post_processor', token)!);
    return [idsOf(tokens.slice(0, at)), idsOf(tokens.slice(at + 1))];
  }

  #templateVariables(): Record<string, unknown> {
    const variables: Record<string, unknown> = {};
    const tokens = {
      bos_token: this.bosToken,
      eos_token: this.eosToken,
      pad_token: this.padToken,
      unk_token: this.unkToken,
    };
    for (const [key, token] of Object.entries(tokens)) if (token !== undefined) variables[key] = token;
    return variables;
  }
}

/** The library's tokenizer over an in-memory tokenizer.json. */
function openLibrary(tokenizer: JsonObject, config: JsonObject): LibraryTokenizer {
  try {
    const layout = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
    };
    return new LibraryTokenizer({ ...layout, ...tokenizer }, config);
  } catch (cause) {
    throw new ModelError(
      'tokenizer-unsupported',
      `tokenizer.json cannot be used: ${(cause as Error).message}.`,
      {
        hint: 'Supported are BPE, Unigram and WordPiece models with the usual normalizers and pre-tokenizers.',
        cause,
      },
    );
  }
}

function libraryDecoder(library: LibraryTokenizer): TokenDecoder {
  const decoder = library.decoder;
  return (tokens) => (decoder === null ? tokens.join(' ') : decoder([...tokens]));
}

/** Special tokens are stated as a string or as an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isJsonObject(value) && typeof value.content === 'string' ? value.content : undefined;
}
