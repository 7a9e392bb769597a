import type { Segment } from '../models/contract.ts';
import type { PackedCompletion } from './contract.ts';

/**
 * One row of tokens for the network: no padding, prompts once. The last token of each completion predicts nothing that
 * is scored, so it is not in the row.
 */
export interface PackedRow {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly segments: readonly Segment[];
  readonly completions: readonly PackedCompletion[];
}
