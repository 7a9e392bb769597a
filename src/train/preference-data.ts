import { loadPairs, type PreferencePair, type TokenizedPair, tokenizePairs } from '../data/index.ts';
import type { SourceLocation } from '../errors.ts';
import type { DispersionSource } from '../objectives/index.ts';
import type { TrainOptions } from './options.ts';
import {
  type DataSession,
  type RowSplits,
  type RowsInput,
  readInput,
  readRows,
  type SplitOptions,
  type Splits,
  type TokenListeners,
  tokenizeRows,
} from './splits.ts';

/** Pairs as `loadPairs` reads them, from files, the hub or rows of a program, or loaded before. */
export type PairsInput = RowsInput<PreferencePair>;

export interface DispersionTraining {
  /** Where w(x) comes from. Default `entropy`, the paper's. */
  readonly source?: Exclude<DispersionSource, 'none'>;
  /** The control: the same weights on the wrong prompts. Default false. */
  readonly shuffle?: boolean;
  /** Smallest −log φ that votes may give; without it contested training pairs are left out, whatever the objective. */
  readonly floor?: number;
}

/** Where pairs come from, and how they are read. */
export type PairSources = SplitOptions<PairsInput>;

export interface PreferenceDataOptions extends TrainOptions, PairSources {
  readonly data: PairsInput;
  /** Held-out pairs. Default: `evalFraction` of the data. */
  readonly evalData?: PairsInput;
  readonly dispersion?: DispersionTraining;
}

export type PairLocations = ReadonlyMap<PreferencePair, SourceLocation>;

/** Where each pair stands, for errors that name it. */
export interface Located {
  readonly locations: PairLocations;
}

export interface PairRows extends RowSplits<PreferencePair>, Located {}

export interface PairSplits extends Splits<PreferencePair, TokenizedPair>, Located {}

/** Reads training and held-out pairs as text. */
export async function readPairRows(options: PairSources, session: DataSession): Promise<PairRows> {
  const rows = await readRows(
    { read: (input, reading) => readInput(loadPairs, input, reading) },
    options,
    session,
  );
  const parts = [rows.train, ...(rows.heldOut === undefined ? [] : [rows.heldOut])];
  const located = parts.flatMap(({ examples, locations }) =>
    examples.map((pair, index) => [pair, locations[index]!] as const),
  );
  return { ...rows, locations: new Map(located) };
}

/** Tokenises both splits, telling the observer what was left out and why, and whoever listens what is done so far. */
export async function tokenizePairRows(
  rows: PairRows,
  options: PairSources,
  session: DataSession,
  listeners?: TokenListeners<TokenizedPair>,
): Promise<PairSplits> {
  const splits = await tokenizeRows({ tokenize: tokenizePairs }, rows, options, session, listeners);
  return { ...splits, locations: rows.locations };
}
