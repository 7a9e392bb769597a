import type { BadRowReason, PreferencePair } from '../contract.ts';
import type { Row } from '../sources/contract.ts';

/** An example as a format reads it; the loader gives it an id when it brings none. */
export type Draft<E extends { readonly id: string }> = Omit<E, 'id'> & {
  readonly id?: string;
  /** Tells the examples of one row apart. */
  readonly part?: string;
};

export interface FormatContext {
  /** How dialogues become pairs: as messages for a template to render, or as the transcript's own text. */
  readonly dialogue: 'chat' | 'text';
  /** Counts something that was left out of a row that is otherwise used. */
  readonly report: (reason: BadRowReason, detail: string) => void;
}

/** One layout of rows. A new format is one file and one line in the registry. */
export interface RowFormat<E extends { readonly id: string }> {
  readonly name: string;
  /** What a row looks like, for messages and documentation. */
  readonly layout: string;
  /** Columns a misspelt name is compared with. */
  readonly columns: readonly string[];
  /** Whether a row has this layout, judged by its columns. */
  matches(row: Row): boolean;
  /** The row's examples; most rows have one. Throws `RowError` when the row cannot be used. */
  read(row: Row, context: FormatContext): readonly Draft<E>[];
}

export interface PairFormat extends RowFormat<PreferencePair> {
  /** The prompt of a row as its pairs have it, from the texts alone: a row that prefers nothing has a prompt too. */
  readPrompt(row: Row, context: FormatContext): Pick<PairDraft, 'id' | 'prompt'>;
}
export type PairDraft = Draft<PreferencePair>;
