import { parentPort, workerData } from 'node:worker_threads';
import { Tokenizer, type TokenizerFiles } from '../text/index.ts';
import { type TokenizeOptions, type TokenKind, type TokenKinds, tokenizeExamples } from './tokenize.ts';

/** What a thread is started with. */
export interface TokenWork {
  readonly kind: TokenKind;
  readonly files: TokenizerFiles;
  readonly options: TokenizeOptions;
}

const { kind, files, options } = workerData as TokenWork;
const tokenizer = new Tokenizer(files);

/** Answers each message's examples with their tokens, or with nothing where that threw. */
parentPort?.on('message', (examples: readonly TokenKinds[TokenKind]['example'][]) => {
  try {
    parentPort?.postMessage(tokenizeExamples(kind, examples, tokenizer, options));
  } catch {
    parentPort?.postMessage(undefined);
  }
});
