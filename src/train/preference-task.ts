import type { ItemGroups } from '../data/batches.ts';
import type { TokenizedPair } from '../data/contract.ts';
import { packedLength, packPairs, promptGroups } from '../data/pack.ts';
import type { PackedRow } from '../data/packed.ts';
import { scoredTokens } from '../data/tokenize.ts';
import type { CompletionBatch, Objective, ObjectiveResult, PairBatch } from '../objectives/contract.ts';
import type { PairScore } from '../runs/index.ts';
import { win } from '../stats/summary.ts';
import type { CompletionStatistics } from './completions.ts';
import type { ItemResults, Task } from './task.ts';

/** Pairs and what training knows about each beforehand. All arrays follow the pairs' order. */
export interface PreferenceData {
  readonly pairs: readonly TokenizedPair[];
  /** Scores under the reference model; absent for reference-free objectives without dispersion. */
  readonly reference?: readonly PairScore[];
  /** w(x) = −log φ(x), mean 1 over the training data. */
  readonly w?: Float64Array;
  /** Reward gap chosen − rejected, where the data has one. */
  readonly scoreGaps?: Float64Array;
}

export interface PreferenceResults extends ItemResults {
  readonly batch: PairBatch;
  readonly outcome: ObjectiveResult;
}

/** Preference pairs under an objective. */
export class PreferenceTask implements Task<PreferenceResults> {
  readonly logSumSquares: boolean;
  readonly #data: PreferenceData;
  readonly #objective: Objective;

  constructor(data: PreferenceData, objective: Objective) {
    this.#data = data;
    this.#objective = objective;
    this.logSumSquares = objective.extras.includes('logSumSquares');
  }

  get items(): number {
    return this.#data.pairs.length;
  }

  id(item: number): string {
    return this.#data.pairs[item]!.id;
  }

  tokens(item: number): number {
    return packedLength(this.#data.pairs[item]!);
  }

  groups(): ItemGroups {
    return promptGroups(this.#data.pairs);
  }

  scoredTokens(item: number): number {
    const { prompt, chosen, rejected } = this.#data.pairs[item]!;
    return scoredTokens(prompt.length, chosen) + scoredTokens(prompt.length, rejected);
  }

  weight(): number {
    return 1;
  }

  pack(items: readonly number[]): PackedRow {
    return packPairs(items.map((item) => this.#data.pairs[item]!));
  }

  evaluate(items: readonly number[], row: PackedRow, statistics: CompletionStatistics): PreferenceResults {
    const batch = this.#batch(items, row, statistics);
    const outcome = this.#objective.evaluate(batch);
    const slopes = Float64Array.from(row.completions, ({ item, side }) =>
      side === 'chosen' ? outcome.chosenSlopes[item]! : outcome.rejectedSlopes[item]!,
    );
    return { items, losses: outcome.losses, slopes, batch, outcome };
  }

  #batch(items: readonly number[], row: PackedRow, statistics: CompletionStatistics): PairBatch {
    const { reference, w, scoreGaps } = this.#data;
    const pick = (values: Float64Array) => Float64Array.from(items, (item) => values[item]!);
    const side = (name: 'chosen' | 'rejected'): CompletionBatch => {
      const places = new Int32Array(items.length);
      for (const [index, completion] of row.completions.entries()) {
        if (completion.side === name) places[completion.item] = index;
      }
      const take = (values: Float64Array) => Float64Array.from(places, (place) => values[place]!);
      return {
        logps: take(statistics.logps),
        tokens: take(statistics.tokens),
        ...(reference && {
          referenceLogps: Float64Array.from(items, (item) => reference[item]![name].logp),
        }),
        ...(statistics.logSumSquares && { extras: { logSumSquares: take(statistics.logSumSquares) } }),
      };
    };
    return {
      chosen: side('chosen'),
      rejected: side('rejected'),
      ...(w && { w: pick(w) }),
      ...(scoreGaps && { scoreGaps: pick(scoreGaps) }),
    };
  }

  metrics(results: readonly PreferenceResults[]): Record<string, number> {
    return preferenceMetrics(results);
  }

  advance(results: readonly PreferenceResults[]): void {
    this.#objective.advance?.(joinBatches(results.map(({ batch }) => batch)));
  }

  state(): Readonly<Record<string, number>> {
    return this.#objective.state?.() ?? {};
  }

  restore(state: Readonly<Record<string, number>>): void {
    this.#objective.restore?.(state);
  }
}

/**
 * Means over pairs, under TRL's names where they mean the same. `rewards/accuracies` counts a tie as ½ (TRL counts it as
 * wrong). `log_ratio/*` shows chosen and rejected apart: log π − log π_ref, which is not a KL on off-policy data.
 */
export function preferenceMetrics(results: readonly PreferenceResults[]): Record<string, number> {
  const pairs = results.reduce((sum, { items }) => sum + items.length, 0);
  const mean = (value: (result: PreferenceResults, index: number) => number) => {
    let total = 0;
    for (const result of results) for (let i = 0; i < result.items.length; i++) total += value(result, i);
    return total / pairs;
  };
  const logRatio = ({ logps, referenceLogps }: CompletionBatch, i: number) => logps[i]! - referenceLogps![i]!;
  const [first] = results;
  return {
    loss: mean(({ losses }, i) => losses[i]!),
    'rewards/chosen': mean(({ outcome }, i) => outcome.chosenRewards[i]!),
    'rewards/rejected': mean(({ outcome }, i) => outcome.rejectedRewards[i]!),
    'rewards/margins': mean(({ outcome }, i) => outcome.chosenRewards[i]! - outcome.rejectedRewards[i]!),
    'rewards/accuracies': mean(({ outcome }, i) =>
      win(outcome.chosenRewards[i]!, outcome.rejectedRewards[i]!),
    ),
    'logps/chosen': mean(({ batch }, i) => batch.chosen.logps[i]!),
    'logps/rejected': mean(({ batch }, i) => batch.rejected.logps[i]!),
    ...(first?.batch.chosen.referenceLogps && {
      'log_ratio/chosen': mean(({ batch }, i) => logRatio(batch.chosen, i)),
      'log_ratio/rejected': mean(({ batch }, i) => logRatio(batch.rejected, i)),
    }),
    ...(first?.batch.w && { 'dispersion/mean': mean(({ batch }, i) => batch.w![i]!) }),
  };
}

function joinBatches(batches: readonly PairBatch[]): PairBatch {
  const join = (read: (batch: PairBatch) => Float64Array | undefined) => {
    const parts = batches.map(read);
    return parts.some((part) => part === undefined)
      ? undefined
      : Float64Array.from(parts.flatMap((part) => [...part!]));
  };
  const side = (name: 'chosen' | 'rejected'): CompletionBatch => {
    const referenceLogps = join((batch) => batch[name].referenceLogps);
    const logSumSquares = join((batch) => batch[name].extras?.logSumSquares);
    return {
      logps: join((batch) => batch[name].logps)!,
      tokens: join((batch) => batch[name].tokens)!,
      ...(referenceLogps && { referenceLogps }),
      ...(logSumSquares && { extras: { logSumSquares } }),
    };
  };
  const w = join((batch) => batch.w);
  const scoreGaps = join((batch) => batch.scoreGaps);
  return {
    chosen: side('chosen'),
    rejected: side('rejected'),
    ...(w && { w }),
    ...(scoreGaps && { scoreGaps }),
  };
}
