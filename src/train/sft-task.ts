import type { TokenizedSequence } from '../data/contract.ts';
import { packSequences } from '../data/pack.ts';
import type { PackedRow } from '../data/packed.ts';
import { scoredTokens } from '../data/tokenize.ts';
import type { CompletionStatistics } from './completions.ts';
import type { ItemResults, Task } from './task.ts';

export interface SftResults extends ItemResults {
  readonly tokens: Float64Array;
}

/**
 * Next-token prediction on completions. The loss of a step is the mean over its scored tokens, whichever sequence and
 * pass they are in, as in transformers.
 */
export class SftTask implements Task<SftResults> {
  readonly logSumSquares = false;
  readonly #sequences: readonly TokenizedSequence[];

  constructor(sequences: readonly TokenizedSequence[]) {
    this.#sequences = sequences;
  }

  get items(): number {
    return this.#sequences.length;
  }

  id(item: number): string {
    return this.#sequences[item]!.id;
  }

  tokens(item: number): number {
    const { prompt, completion } = this.#sequences[item]!;
    return prompt.length + completion.length - 1;
  }

  scoredTokens(item: number): number {
    const { prompt, completion } = this.#sequences[item]!;
    return scoredTokens(prompt.length, completion);
  }

  weight(item: number): number {
    return this.scoredTokens(item);
  }

  pack(items: readonly number[]): PackedRow {
    return packSequences(items.map((item) => this.#sequences[item]!));
  }

  evaluate(items: readonly number[], row: PackedRow, { logps, tokens }: CompletionStatistics): SftResults {
    const losses = new Float64Array(items.length);
    const counts = new Float64Array(items.length);
    for (const [index, { item }] of row.completions.entries()) {
      losses[item]! -= logps[index]!;
      counts[item]! += tokens[index]!;
    }
    return { items, losses, slopes: logps.map(() => -1), tokens: counts };
  }

  metrics(results: readonly SftResults[]): Record<string, number> {
    let loss = 0;
    let tokens = 0;
    for (const result of results) {
      for (const value of result.losses) loss += value;
      for (const count of result.tokens) tokens += count;
    }
    return { loss: loss / tokens, perplexity: Math.exp(loss / tokens) };
  }
}
