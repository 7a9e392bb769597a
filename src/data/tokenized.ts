import type {
  BadRow,
  Dataset,
  PairDataset,
  PreferencePair,
  SftExample,
  TokenizedPair,
  TokenizedSequence,
} from './contract.ts';
import { noUsableRows, rejectStrictly } from './read.ts';
import {
  DEFAULT_MAX_LENGTH,
  isProblem,
  type PairTokenizer,
  type TokenizeOptions,
  type TokenKind,
  type TokenKinds,
} from './tokenize.ts';
import { tokenizeInPortions, tokenizingThreads } from './tokenize-threads.ts';

/** Examples that became tokens, beside the tokens, and what happened on the way. */
export interface Tokenized<E, T> {
  readonly examples: readonly E[];
  /** In the order of `examples`. */
  readonly tokens: readonly T[];
  /** Rows left out because of their tokens; those left out in reading are the data set's own. */
  readonly badRows: readonly BadRow[];
  /** Examples whose completion lost its tail to `maxLength`, and the tokens lost. */
  readonly cut: { readonly examples: number; readonly tokens: number };
  /** Examples whose prompt ends in tokens that tokenising with a completion changed, and how many such tokens. */
  readonly moved: { readonly examples: number; readonly tokens: number };
}

export interface TokenizeDatasetOptions<T = unknown> extends TokenizeOptions {
  /** Stops at the first bad row with a `DataError`. */
  readonly strict?: boolean;
  /** Whether it is an error that nothing is usable. Default true. */
  readonly required?: boolean;
  /** Called now and then with how many examples are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Given tokens in the order of the examples, a few at a time, while later ones are still text. */
  readonly onTokens?: (tokens: readonly T[]) => void;
  /** Worker threads; 0 uses the calling one. Default: up to four for thousands of examples. */
  readonly threads?: number;
}

/** Tokenises a data set's pairs. Throws `DataError` when none is usable, or at the first bad row when `strict`. */
export function tokenizePairs(
  data: PairDataset,
  tokenizer: PairTokenizer,
  options: TokenizeDatasetOptions<TokenizedPair> = {},
): Promise<Tokenized<PreferencePair, TokenizedPair>> {
  return tokenizeAll('pairs', data, tokenizer, options);
}

/** Tokenises a data set's SFT examples; as `tokenizePairs`. */
export function tokenizeSequences(
  data: Dataset<SftExample>,
  tokenizer: PairTokenizer,
  options: TokenizeDatasetOptions<TokenizedSequence> = {},
): Promise<Tokenized<SftExample, TokenizedSequence>> {
  return tokenizeAll('sequences', data, tokenizer, options);
}

async function tokenizeAll<K extends TokenKind>(
  kind: K,
  {
    examples: all,
    locations,
    source,
  }: Pick<Dataset<TokenKinds[K]['example']>, 'examples' | 'locations' | 'source'>,
  tokenizer: PairTokenizer,
  {
    maxLength = DEFAULT_MAX_LENGTH,
    now,
    strict = false,
    required = true,
    onProgress,
    onTokens,
    threads = tokenizingThreads(all.length, tokenizer, onTokens !== undefined),
  }: TokenizeDatasetOptions<TokenKinds[K]['tokens']>,
): Promise<Tokenized<TokenKinds[K]['example'], TokenKinds[K]['tokens']>> {
  type Tokens = TokenKinds[K]['tokens'];
  const examples: TokenKinds[K]['example'][] = [];
  const tokens: Tokens[] = [];
  const badRows: BadRow[] = [];
  const cut = { examples: 0, tokens: 0 };
  const moved = { examples: 0, tokens: 0 };
  let done = 0;
  onProgress?.(0, all.length);
  for await (const results of tokenizeInPortions(kind, all, tokenizer, { maxLength, now }, threads)) {
    const before = tokens.length;
    for (const result of results) {
      const index = done++;
      if (isProblem(result)) {
        const { file, line = 0 } = locations[index]!;
        const badRow = { file, line, id: all[index]!.id, ...result };
        if (strict) throw rejectStrictly(badRow);
        badRows.push(badRow);
        continue;
      }
      examples.push(all[index]!);
      tokens.push(result);
      cut.tokens += result.cutTokens;
      cut.examples += Number(result.cutTokens > 0);
      moved.tokens += result.movedTokens;
      moved.examples += Number(result.movedTokens > 0);
    }
    if (tokens.length > before) onTokens?.(tokens.slice(before));
    onProgress?.(done, all.length);
  }
  if (examples.length === 0 && required) {
    throw noUsableRows(
      source,
      badRows,
      'completions that the tokenizer and the maximum length leave something of',
    );
  }
  return { examples, tokens, badRows, cut, moved };
}
