import { ModelError } from '../errors.ts';
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
  isProblem,
  type PairTokenizer,
  type TokenizeOptions,
  type TokenProblem,
  tokenizePair,
  tokenizeSequence,
} from './tokenize.ts';

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

export interface TokenizeDatasetOptions extends TokenizeOptions {
  /** Stops at the first bad row with a `DataError`. */
  readonly strict?: boolean;
  /** Called now and then with how many examples are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Tokenises a data set's pairs. Throws `DataError` when none is usable, or at the first bad row when `strict`. */
export function tokenizePairs(
  data: PairDataset,
  tokenizer: PairTokenizer,
  options: TokenizeDatasetOptions = {},
): Promise<Tokenized<PreferencePair, TokenizedPair>> {
  return tokenizeAll(
    { ...data, examples: data.pairs },
    (pair) => tokenizePair(pair, tokenizer, options),
    options,
  );
}

/** Tokenises a data set's SFT examples; as `tokenizePairs`. */
export function tokenizeSequences(
  data: Dataset<SftExample>,
  tokenizer: PairTokenizer,
  options: TokenizeDatasetOptions = {},
): Promise<Tokenized<SftExample, TokenizedSequence>> {
  return tokenizeAll(data, (example) => tokenizeSequence(example, tokenizer, options), options);
}

/** Examples between two breaths of the event loop, so that progress shows and an interrupt is heard. */
const BREATH = 64;

async function tokenizeAll<
  E extends { readonly id: string },
  T extends { readonly cutTokens: number; readonly movedTokens: number },
>(
  data: Pick<Dataset<E>, 'examples' | 'locations' | 'source'>,
  tokenize: (example: E) => T | TokenProblem,
  { strict = false, onProgress }: TokenizeDatasetOptions,
): Promise<Tokenized<E, T>> {
  const examples: E[] = [];
  const tokens: T[] = [];
  const badRows: BadRow[] = [];
  const cut = { examples: 0, tokens: 0 };
  const moved = { examples: 0, tokens: 0 };
  for (const [i, example] of data.examples.entries()) {
    if (i % BREATH === 0) {
      onProgress?.(i, data.examples.length);
      await new Promise((resume) => setImmediate(resume));
    }
    const result = refusalAsProblem(() => tokenize(example));
    if (isProblem(result)) {
      const { file, line = 0 } = data.locations[i]!;
      const badRow = { file, line, id: example.id, ...result };
      if (strict) throw rejectStrictly(badRow);
      badRows.push(badRow);
      continue;
    }
    examples.push(example);
    tokens.push(result);
    cut.tokens += result.cutTokens;
    cut.examples += Number(result.cutTokens > 0);
    moved.tokens += result.movedTokens;
    moved.examples += Number(result.movedTokens > 0);
  }
  onProgress?.(data.examples.length, data.examples.length);
  if (examples.length === 0) {
    throw noUsableRows(
      data.source,
      badRows,
      'completions that the tokenizer and the maximum length leave something of',
    );
  }
  return { examples, tokens, badRows, cut, moved };
}

/** A template may refuse one conversation (no system role, two user turns in a row) and render the next. */
function refusalAsProblem<T>(tokenize: () => T | TokenProblem): T | TokenProblem {
  try {
    return tokenize();
  } catch (error) {
    if (!(error instanceof ModelError) || error.code !== 'chat-template-render') throw error;
    return { reason: 'template-refuses', detail: error.message };
  }
}
