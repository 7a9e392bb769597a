import type { LoadedModel } from '../../checkpoints/index.ts';
import {
  type BadRow,
  type LoadPairsOptions,
  loadLabelled,
  loadPairs,
  loadVoted,
  type TextOrChat,
} from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import type { DataKind } from './contract.ts';

export interface Row {
  readonly id: string;
  readonly prompt: TextOrChat;
  /** Absent when the model has to write them. */
  readonly answers?: readonly [TextOrChat, TextOrChat];
  /** Text of a review after its opening. */
  readonly rest?: string;
  readonly votes?: { readonly first: number; readonly second: number; readonly tie: number };
}

export interface RowsRead {
  readonly kind: DataKind;
  readonly format: string;
  readonly rows: readonly Row[];
  readonly badRows: readonly BadRow[];
}

/** Reads whatever the columns say: judged answers, labelled texts, or preference pairs. */
export async function readRows(
  source: string,
  loaded: LoadedModel,
  reading: LoadPairsOptions,
): Promise<RowsRead> {
  const options = { chatTemplate: loaded.tokenizer.chatTemplate !== undefined, ...reading };
  const judged = await orOtherLayout(() => loadVoted(source, options));
  if (judged !== undefined) {
    const rows = judged.examples.map(({ id, prompt, first, second, votes }) => {
      return { id, prompt, answers: [first, second] as const, votes };
    });
    return { kind: 'judged', format: judged.format, rows, badRows: judged.badRows };
  }
  const reviews = await orOtherLayout(() => loadLabelled(source, options));
  if (reviews !== undefined) {
    const rows = reviews.examples.map(({ id, text }) => ({ id, prompt: text, rest: text }));
    return { kind: 'reviews', format: reviews.format, rows, badRows: reviews.badRows };
  }
  const { examples, badRows, format } = await loadPairs(source, options);
  const rows = examples.map(({ id, prompt, chosen, rejected }) => {
    return { id, prompt, answers: [chosen, rejected] as const };
  });
  return { kind: 'pairs', format, rows, badRows };
}

/** A layout that does not fit is no error yet; anything else about the data is. */
async function orOtherLayout<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    const other = ['missing-columns', 'unknown-format'];
    if (error instanceof DataError && other.includes(error.code)) return undefined;
    throw error;
  }
}
