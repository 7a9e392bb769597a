import { availableParallelism } from 'node:os';
import { Tokenizer } from '../text/index.ts';
import { ThreadPool } from '../threads.ts';
import {
  type PairTokenizer,
  type TokenizeOptions,
  type TokenKind,
  type TokenKinds,
  type TokenResults,
  tokenizeExamples,
} from './tokenize.ts';
import type { TokenWork } from './tokenize-worker.ts';

/** Examples that go to a thread at once; between two such portions progress shows and an interrupt is heard. */
const PORTION = 64;
/** Fewer are done before a thread has started and learnt the frequent words. */
const FEWEST_EXAMPLES = 2000;
/** Portions that wait at each thread, because whoever trains meanwhile hears answers between two rows only. */
const PORTIONS_AHEAD = 64;
/** Each thread holds the vocabulary: a hundred megabytes for large ones. */
const MOST_THREADS = 4;
/** Threads of Node 20 run JavaScript only, so the sources themselves do without. */
const IS_COMPILED = import.meta.url.endsWith('.js');

type Example<K extends TokenKind> = TokenKinds[K]['example'];

/**
 * Threads that tokenising so many examples is worth: none for few, and none for a tokenizer that is not made of files, which
 * no thread could have.
 *
 * @param beside whether something else runs meanwhile, to which a core is left
 */
export function tokenizingThreads(examples: number, tokenizer: PairTokenizer, beside: boolean): number {
  if (!IS_COMPILED || !(tokenizer instanceof Tokenizer) || examples < FEWEST_EXAMPLES) return 0;
  return Math.min(MOST_THREADS, Math.max(1, availableParallelism() - Number(beside)));
}

/** Results of all examples in their order, a portion at a time: from this thread where `threads` is 0. */
export async function* tokenizeInPortions<K extends TokenKind>(
  kind: K,
  examples: readonly Example<K>[],
  tokenizer: PairTokenizer,
  options: TokenizeOptions,
  threads: number,
): AsyncGenerator<TokenResults<K>> {
  const portions = Array.from({ length: Math.ceil(examples.length / PORTION) }, (_, index) =>
    examples.slice(index * PORTION, (index + 1) * PORTION),
  );
  const here = (portion: readonly Example<K>[]) => tokenizeExamples(kind, portion, tokenizer, options);
  if (threads === 0 || !(tokenizer instanceof Tokenizer)) {
    for (const portion of portions) {
      await new Promise((resume) => setImmediate(resume));
      yield here(portion);
    }
    return;
  }
  const workerData = { kind, files: tokenizer.files, options } satisfies TokenWork;
  const program = new URL('./tokenize-worker.js', import.meta.url);
  const pool = new ThreadPool<object, TokenResults<K> | undefined>(program, threads, {
    workerData,
    ahead: PORTIONS_AHEAD,
  });
  try {
    const answers = portions.map((portion) => pool.ask(() => portion.map(textOf)));
    // What a thread could not do is done here, so that its error is thrown as it is.
    for (const [index, answer] of answers.entries()) {
      yield (await answer.catch(ifNotForThreads)) ?? here(portions[index]!);
    }
  } finally {
    await pool.close();
  }
}

/** What tokenising reads of an example: the rest may be large, or of a kind that does not go to another thread. */
function textOf(example: Example<TokenKind>): object {
  return 'chosen' in example
    ? { id: example.id, prompt: example.prompt, chosen: example.chosen, rejected: example.rejected }
    : { id: example.id, prompt: example.prompt, completion: example.completion };
}

/** Rows made in memory may hold what no other thread can have. */
function ifNotForThreads(error: unknown): undefined {
  if (error instanceof DOMException && error.name === 'DataCloneError') return undefined;
  throw error;
}
