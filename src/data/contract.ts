import type { SourceLocation } from '../errors.ts';
import type { ChatMessage } from '../text/chat-template.ts';

export type { ChatMessage, ChatRole } from '../text/chat-template.ts';

/** Plain text, or chat messages that the model's template renders. */
export type TextOrChat = string | readonly ChatMessage[];

/** How annotators voted on a pair. */
export interface Votes {
  readonly chosen: number;
  readonly rejected: number;
  readonly tie?: number;
}

/** One comparison: the same prompt, a preferred completion and a less preferred one. */
export interface PreferencePair {
  /**
   * From the data; else the zero-based row number as a string, with `row-` before it where the data has that id. Unique
   * within a data set.
   */
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly chosen: TextOrChat;
  readonly rejected: TextOrChat;
  readonly votes?: Votes;
  /** φ(x) ∈ (0, 1) when the data states it. */
  readonly dispersion?: number;
  /** Facts from other columns; reading keeps numbers, booleans and text of up to 200 characters. */
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** A row that was left out, and why. Never silently. */
export interface BadRow {
  readonly file: string;
  /** One-based line (or row). */
  readonly line: number;
  readonly id?: string;
  readonly reason: BadRowReason;
  /** What was received, shortened, for people. */
  readonly detail: string;
}

export type BadRowReason =
  | 'invalid-json'
  | 'invalid-csv'
  | 'invalid-utf8'
  | 'line-too-long'
  | 'missing-field'
  | 'wrong-type'
  | 'identical-completions'
  | 'empty-completion'
  | 'prompt-too-long'
  | 'transcripts-diverge'
  | 'tied-scores'
  | 'template-refuses';

/** One text to learn: a completion, after a prompt if there is one. Both are text, or both are messages. */
export interface SftExample {
  readonly id: string;
  readonly prompt?: TextOrChat;
  readonly completion: TextOrChat;
}

/** One prompt to generate for. */
export interface PromptExample {
  readonly id: string;
  readonly prompt: TextOrChat;
}

/** A text of one of two kinds, such as a review: 1 is positive. */
export interface LabelledText {
  readonly id: string;
  readonly text: string;
  readonly label: 0 | 1;
}

/** Two answers to a prompt and how many people preferred which; nobody has decided which one is better. */
export interface VotedPair {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly first: TextOrChat;
  readonly second: TextOrChat;
  readonly votes: { readonly first: number; readonly second: number; readonly tie: number };
}

/** Examples that were read, and what was left out on the way. */
export interface Dataset<E> {
  readonly examples: readonly E[];
  /** Where each example stands, in the same order. */
  readonly locations: readonly SourceLocation[];
  readonly badRows: readonly BadRow[];
  /** Format that was detected or asked for. */
  readonly format: string;
  /** SHA-256 over the canonical JSON of the examples, one a line, in order. */
  readonly hash: string;
  /** Where it came from, for provenance: path or hub id with revision. */
  readonly source: string;
}

export type PairDataset = Dataset<PreferencePair>;

/**
 * A pair as token ids. `prompt` is the longest common prefix of the tokenised prompt, prompt+chosen and
 * prompt+rejected; everything after it is completion and is scored.
 */
export interface TokenizedPair {
  readonly id: string;
  readonly prompt: Int32Array;
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
  /** Prompt tokens that tokenising with a completion changed, and that are therefore scored with the completion. */
  readonly movedTokens: number;
  /** Completion tokens cut off by `maxLength`, both sides together. */
  readonly cutTokens: number;
}

/** A sequence as token ids, with the boundary of `TokenizedPair`. */
export interface TokenizedSequence {
  readonly id: string;
  readonly prompt: Int32Array;
  readonly completion: Int32Array;
  readonly movedTokens: number;
  readonly cutTokens: number;
}

/** A completion inside a packed row. */
export interface PackedCompletion {
  /** Index into the batch's items (pairs, or sequences in SFT). */
  readonly item: number;
  readonly side: 'chosen' | 'rejected';
  /** Row indices whose output predicts each target, in order: the prompt's last token, then the completion's own but the last. */
  readonly rows: Int32Array;
  readonly targets: Int32Array;
}
