import type { Segment } from '../models/contract.ts';
import type { ItemGroups } from './batches.ts';
import type { PackedCompletion, TokenizedPair, TokenizedSequence } from './contract.ts';
import type { PackedRow } from './packed.ts';

/**
 * Packs pairs into one row: each prompt once, its completions as its children. Pairs with equal prompts share the
 * prompt's segment, and equal completions of one prompt share theirs (best-of-n data). `completions[2i]` is pair i's
 * chosen side and `completions[2i + 1]` its rejected one, whatever the order of the segments.
 */
export function packPairs(
  pairs: readonly Pick<TokenizedPair, 'prompt' | 'chosen' | 'rejected'>[],
): PackedRow {
  const row = new RowBuilder();
  const completions: PackedCompletion[] = new Array(2 * pairs.length);
  for (const group of groupByPrompt(pairs)) {
    const prompt = row.add(pairs[group[0]!]!.prompt);
    const known = new Map<string, ScoredRows>();
    for (const item of group) {
      for (const [offset, side] of SIDES.entries()) {
        const tokens = pairs[item]![side];
        const key = keyOf(tokens);
        const scored = known.get(key) ?? row.addCompletion(tokens, prompt);
        known.set(key, scored);
        completions[2 * item + offset] = { item, side, ...scored };
      }
    }
  }
  return row.finish(completions);
}

/** Packs prompts with one completion each (SFT, scoring) into one row: each a segment of its own. */
export function packSequences(
  sequences: readonly Pick<TokenizedSequence, 'prompt' | 'completion'>[],
): PackedRow {
  const row = new RowBuilder();
  const completions = sequences.map(({ prompt, completion }, item): PackedCompletion => {
    const whole = Int32Array.from([...prompt, ...completion.subarray(0, -1)]);
    const start = row.add(whole)?.start ?? 0;
    const first = Math.max(0, prompt.length - 1);
    const rows = Int32Array.from({ length: whole.length - first }, (_, i) => start + first + i);
    return { item, side: 'chosen', rows, targets: completion.slice(completion.length - rows.length) };
  });
  return row.finish(completions);
}

/** Tokens of the row that a pair makes alone: its cost, for batching by tokens. */
export function packedLength({
  prompt,
  chosen,
  rejected,
}: Pick<TokenizedPair, 'prompt' | 'chosen' | 'rejected'>): number {
  return prompt.length + Math.max(0, chosen.length - 1) + Math.max(0, rejected.length - 1);
}

/** Tokens of one packed row where nothing else is asked for. */
export const DEFAULT_ROW_TOKENS = 2048;

/**
 * Groups items into rows of at most `rowTokens`: longest first, so that memory peaks at once and not after an hour. An
 * item longer than the budget goes alone.
 */
export function packByLength(lengths: readonly number[], rowTokens = DEFAULT_ROW_TOKENS): number[][] {
  const order = lengths.map((tokens, index) => ({ index, tokens }));
  order.sort((a, b) => b.tokens - a.tokens || a.index - b.index);
  const rows: number[][] = [];
  let room = 0;
  for (const { index, tokens } of order) {
    if (tokens > room || rows.length === 0) {
      rows.push([]);
      room = rowTokens;
    }
    rows.at(-1)!.push(index);
    room -= tokens;
  }
  return rows;
}

/** Pairs by their prompts, for batching those of one prompt together (`groups` of `epochSteps`). */
export function promptGroups(pairs: readonly Pick<TokenizedPair, 'prompt'>[]): ItemGroups {
  return {
    keys: pairs.map(({ prompt }) => keyOf(prompt)),
    shared: pairs.map(({ prompt }) => prompt.length),
  };
}

const SIDES = ['chosen', 'rejected'] as const;

type ScoredRows = Pick<PackedCompletion, 'rows' | 'targets'>;

/** A segment that was added, with its place in the table. */
interface AddedSegment extends Segment {
  readonly index: number;
}

class RowBuilder {
  readonly #parts: Int32Array[] = [];
  readonly #segments: Segment[] = [];
  #length = 0;

  /** Appends a segment; without tokens there is none. */
  add(tokens: Int32Array, parent?: AddedSegment): AddedSegment | undefined {
    if (tokens.length === 0) return undefined;
    const segment = { start: this.#length, length: tokens.length, ...(parent && { parent: parent.index }) };
    this.#parts.push(tokens);
    this.#length += tokens.length;
    return { ...segment, index: this.#segments.push(segment) - 1 };
  }

  /**
   * Appends a completion but its last token, which predicts nothing that is scored. Its first token is predicted by the
   * prompt's last; without a prompt it is not scored.
   */
  addCompletion(completion: Int32Array, prompt: AddedSegment | undefined): ScoredRows {
    const segment = this.add(completion.subarray(0, -1), prompt);
    const own = Array.from({ length: segment?.length ?? 0 }, (_, i) => segment!.start + i);
    const rows = prompt === undefined ? own : [prompt.start + prompt.length - 1, ...own];
    return { rows: Int32Array.from(rows), targets: completion.slice(completion.length - rows.length) };
  }

  finish(completions: readonly PackedCompletion[]): PackedRow {
    const tokens = new Int32Array(this.#length);
    const positions = new Int32Array(this.#length);
    const ends: number[] = [];
    for (const [i, { start, length, parent }] of this.#segments.entries()) {
      tokens.set(this.#parts[i]!, start);
      const first = parent === undefined ? 0 : ends[parent]!;
      for (let j = 0; j < length; j++) positions[start + j] = first + j;
      ends.push(first + length);
    }
    return { tokens, positions, segments: this.#segments, completions };
  }
}

/** Indices of the pairs of each prompt, prompts in order of first appearance. */
function groupByPrompt(pairs: readonly Pick<TokenizedPair, 'prompt'>[]): Iterable<readonly number[]> {
  const groups = new Map<string, number[]>();
  for (const [i, { prompt }] of pairs.entries()) {
    // Without a prompt there is nothing to share: such a pair stays by itself.
    const key = prompt.length === 0 ? `pair ${i}` : keyOf(prompt);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [i]);
    else group.push(i);
  }
  return groups.values();
}

/** Equal token ids give equal keys, and different ones different keys. */
function keyOf(tokens: Int32Array): string {
  return Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength).toString('latin1');
}
