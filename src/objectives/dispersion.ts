import type { Votes } from '../data/contract.ts';
import { DataError, UsageError } from '../errors.ts';
import { RandomStream, type Summary, summarize } from '../stats/index.ts';
import { type NamedRow, rejectRows } from './rows.ts';

/**
 * From what is known about each pair to w(x), the neg-log dispersion estimate with mean 1 over the training data.
 *
 * Each source first gives t(x), its own reading of −log φ(x); then w = φ*·t with φ* = 1/mean(t) over the training pairs
 * (section 3.3: nothing is left to tune, and the whole data set stays on DPO's scale). Evaluation pairs use the training
 * φ*. Nothing is clipped: a t that is not a positive number is an error that names its rows.
 */

/** Where w(x) comes from: the reference model's entropy (the paper), annotators' votes, a column with φ(x), or nowhere. */
export type DispersionSource = 'entropy' | 'votes' | 'column' | 'none';

/** What may be known about one pair; each source reads its own fields. */
export interface DispersionRow extends NamedRow {
  /** Mean over the completion's tokens of the next-token entropy under the reference model, nats. */
  readonly chosenEntropy?: number;
  readonly rejectedEntropy?: number;
  readonly votes?: Votes;
  /** φ(x) ∈ (0, 1) */
  readonly dispersion?: number;
}

export interface DispersionOptions {
  readonly source: DispersionSource;
  /** Number of logit columns of the reference model; needed by `entropy`. */
  readonly vocabularySize?: number;
  /** Smallest t that `votes` may give. Without it, contested training pairs (t ≤ 0) are left out. */
  readonly floor?: number;
  /** Seed of the shuffled control: the same weights on the wrong prompts. Absent: not shuffled. */
  readonly shuffle?: number | string;
}

/** A fitted source: plain JSON, kept with a run so that later pairs get weights on the same scale. */
export interface DispersionModel extends DispersionOptions {
  /** 1/mean(t) over the training pairs; 1 for `none`. */
  readonly phiStar: number;
}

export interface DispersionWeights {
  /** w of the rows in `kept`, in their order. */
  readonly weights: Float64Array;
  /** Indices of the rows that are used. */
  readonly kept: Int32Array;
  /**
   * Ids of pairs whose votes do not favour the chosen side (t ≤ 0), where no floor is given: left out of training, given
   * next to no weight in evaluation.
   */
  readonly contested: readonly string[];
  readonly summary: Summary & { readonly phiStar: number; readonly vocabularySize?: number };
}

export interface FittedDispersion extends DispersionWeights {
  readonly model: DispersionModel;
}

/** Eq. 11 with means over completion tokens: t = −log h, h = ½(mean H(y_w) + mean H(y_l))/log n. */
function fromEntropies(rows: readonly DispersionRow[], { vocabularySize }: DispersionOptions): Float64Array {
  if (!(vocabularySize !== undefined && vocabularySize > 1)) {
    throw new UsageError(
      'vocabulary-size',
      `Dispersion from entropies divides by log n; received n = ${vocabularySize}.`,
      {
        hint: "Pass vocabularySize, the number of the reference model's logit columns.",
      },
    );
  }
  rejectRows(
    rows.filter((row) => row.chosenEntropy === undefined || row.rejectedEntropy === undefined),
    'missing-entropies',
    'no entropies',
    'Run the reference pass with entropies.',
  );
  return Float64Array.from(rows, (row) => {
    const h = (row.chosenEntropy! + row.rejectedEntropy!) / 2 / Math.log(vocabularySize);
    return -Math.log(h);
  });
}

/** A two-item Mallows model has P(chosen wins) = 1/(1 + φ), so t = ln(p/(1 − p)); p with half a vote added to each side. */
function fromVotes(rows: readonly DispersionRow[], { floor }: DispersionOptions): Float64Array {
  rejectRows(
    rows.filter((row) => row.votes === undefined),
    'missing-votes',
    'no votes',
    'Give each row `votes: { chosen, rejected, tie }`, or choose another dispersion source.',
  );
  const counts = rows.map(({ votes }) => [votes!.chosen, votes!.rejected, votes!.tie ?? 0] as const);
  rejectRows(
    rows.filter((_, i) => !counts[i]!.every((count) => Number.isFinite(count) && count >= 0)),
    'invalid-votes',
    'votes that are not numbers ≥ 0',
    'Correct the counts.',
  );
  return Float64Array.from(counts, ([chosen, rejected, tie]) => {
    const forChosen = chosen + tie / 2 + 0.5;
    const forRejected = rejected + tie / 2 + 0.5;
    const t = Math.log(forChosen / forRejected);
    return floor === undefined ? t : Math.max(t, floor);
  });
}

function fromColumn(rows: readonly DispersionRow[]): Float64Array {
  rejectRows(
    rows.filter((row) => row.dispersion === undefined),
    'missing-dispersion',
    'no `dispersion`',
    'Give every row φ(x), or choose another dispersion source.',
  );
  rejectRows(
    rows.filter(({ dispersion }) => !(dispersion! > 0 && dispersion! < 1)),
    'dispersion-out-of-range',
    'a `dispersion` outside (0, 1)',
    'The column holds φ(x): near 0 everyone agrees, near 1 any answer is as good.',
  );
  return Float64Array.from(rows, (row) => -Math.log(row.dispersion!));
}

/** t(x) = −log φ(x) as the source reads it, before it is scaled. */
function negLogDispersion(rows: readonly DispersionRow[], options: DispersionOptions): Float64Array {
  switch (options.source) {
    case 'entropy':
      return fromEntropies(rows, options);
    case 'votes':
      return fromVotes(rows, options);
    case 'column':
      return fromColumn(rows);
    case 'none':
      return new Float64Array(rows.length).fill(1);
    default:
      return options.source satisfies never;
  }
}

/**
 * t of contested pairs that are evaluated: nobody is known to prefer the chosen answer, so φ = 1, as near as the Mallows-φ
 * link is exact.
 */
const CONTESTED_T = 1e-6;

interface UsableRows {
  readonly t: Float64Array;
  readonly kept: Int32Array;
  readonly contested: readonly string[];
}

/** @param keepsContested whether contested rows stay, as evaluation wants them */
function usableRows(
  rows: readonly DispersionRow[],
  options: DispersionOptions,
  keepsContested: boolean,
): UsableRows {
  const all = negLogDispersion(rows, options);
  const contestable = options.source === 'votes' && options.floor === undefined;
  const isContested = (row: number): boolean => contestable && all[row]! <= 0;
  rejectRows(
    rows.filter((_, row) => !isContested(row) && !(all[row]! > 0 && all[row]! < Number.POSITIVE_INFINITY)),
    'non-finite-dispersion',
    'a neg-log dispersion that is not a positive number',
    options.source === 'entropy'
      ? 'Mean entropies must lie between 0 and log n, both excluded: look at those completions and at vocabularySize.'
      : 'Look at those rows.',
  );
  const kept = Int32Array.from(all.keys()).filter((row) => keepsContested || !isContested(row));
  const t = Float64Array.from(kept, (row) => (isContested(row) ? CONTESTED_T : all[row]!));
  return { t, kept, contested: rows.filter((_, row) => isContested(row)).map(({ id }) => id) };
}

function weigh(
  { t, kept, contested }: UsableRows,
  model: DispersionModel,
  streamName: string,
): DispersionWeights {
  const weights = t.map((value) => model.phiStar * value);
  if (model.shuffle !== undefined) {
    RandomStream.create(model.shuffle, 'dispersion-shuffle').stream(streamName).shuffle(weights);
  }
  return {
    weights,
    kept,
    contested,
    summary: {
      phiStar: model.phiStar,
      ...(model.vocabularySize !== undefined && { vocabularySize: model.vocabularySize }),
      ...summarize(weights),
    },
  };
}

/** Fits φ* on the training pairs and gives them their weights. Throws DataError when a row cannot be used. */
export function fitDispersion(rows: readonly DispersionRow[], options: DispersionOptions): FittedDispersion {
  const usable = usableRows(rows, options, false);
  if (usable.t.length === 0) {
    throw new DataError('no-usable-pairs', `None of ${rows.length} pairs has a usable dispersion.`, {
      hint: 'Give pairs whose annotators agree, or set a floor for contested ones.',
    });
  }
  const phiStar = options.source === 'none' ? 1 : 1 / summarize(usable.t).mean;
  const model: DispersionModel = { ...options, phiStar };
  return { model, ...weigh(usable, model, 'training') };
}

/** Weights of further pairs (evaluation) on the training pairs' scale. All of them are kept, contested ones with w ≈ 0. */
export function applyDispersion(model: DispersionModel, rows: readonly DispersionRow[]): DispersionWeights {
  return weigh(usableRows(rows, model, true), model, 'evaluation');
}
