import * as untyped from '@huggingface/tokenizers';

/**
 * The parts of `@huggingface/tokenizers` that are used, typed here: its own declarations import one another without
 * file extensions, which Node's module resolution does not follow, so that everything would silently be `any`.
 */
export interface LibraryTokenizer {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  readonly model: LibraryModel;
  readonly post_processor:
    | ((tokens: string[], pair: null, addSpecialTokens: boolean) => { tokens: string[] })
    | null;
  readonly decoder: ((tokens: string[]) => string) | null;
}

/** Words in the vocabulary's spelling → token strings. */
export interface LibraryModel {
  (words: string[]): string[];
  readonly vocab: readonly (string | undefined)[];
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly unk_token_id: number | undefined;
}

interface Library {
  readonly Tokenizer: new (tokenizer: object, config: object) => LibraryTokenizer;
  readonly SplitPreTokenizer: new (config: {
    type: 'Split';
    pattern: { Regex: string };
    behavior: 'Isolated';
    invert: false;
  }) => { readonly pattern: RegExp };
}

export const { Tokenizer: LibraryTokenizer, SplitPreTokenizer } = untyped as unknown as Library;
