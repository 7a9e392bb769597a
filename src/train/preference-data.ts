import { join } from 'node:path';
import { mallowsCache } from '../checkpoints/files.ts';
import {
  hashValues,
  type LoadPairsOptions,
  loadPairs,
  type PairDataset,
  type PreferencePair,
  scoreGap,
  type TokenizedPair,
  tokenizePairs,
} from '../data/index.ts';
import { rounding } from '../engine/index.ts';
import type { SourceLocation } from '../errors.ts';
import {
  applyDispersion,
  type DispersionRow,
  type DispersionSource,
  type DispersionWeights,
  type FittedDispersion,
  fitDispersion,
  type Objective,
  requireScoreGaps,
  type ScoreGapRow,
} from '../objectives/index.ts';
import type { RunDirectory } from '../runs/index.ts';
import { defined } from './defined.ts';
import { inMemoryOnly } from './identity.ts';
import type { TrainOptions } from './options.ts';
import type { PreferenceData } from './preference-task.ts';
import { type PairScore, scorePairs } from './reference.ts';
import type { Session } from './session.ts';
import {
  type DataSession,
  memoryFacts,
  readSplits,
  type Split,
  type SplitOptions,
  type Splits,
} from './splits.ts';

/** Pairs as a file or hub data set, loaded, or in memory. */
export type PairsInput = string | PairDataset | readonly PreferencePair[];

export interface DispersionTraining {
  /** Where w(x) comes from. Default `entropy`, the paper's. */
  readonly source?: Exclude<DispersionSource, 'none'>;
  /** The control: the same weights on the wrong prompts. Default false. */
  readonly shuffle?: boolean;
  /** Smallest −log φ that votes may give; without it contested pairs are left out. */
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

type PairSplit = Split<PreferencePair, TokenizedPair>;

export interface PairSplits extends Splits<PreferencePair, TokenizedPair> {
  /** Where each pair stands, for errors that name it. */
  readonly locations: PairLocations;
}

type PairLocations = ReadonlyMap<PreferencePair, SourceLocation>;

/** Loads and tokenises training and held-out pairs, telling the observer what was left out and why. */
export async function readPairSplits(options: PairSources, session: DataSession): Promise<PairSplits> {
  const locations = new Map<PreferencePair, SourceLocation>();
  const read = async (input: PairsInput, reading: LoadPairsOptions): Promise<PairDataset> => {
    const data = await readPairs(input, reading);
    for (const [index, pair] of data.pairs.entries()) locations.set(pair, data.locations[index]!);
    return data;
  };
  const splits = await readSplits({ read, tokenize: tokenizePairs }, options, session);
  return { ...splits, locations };
}

async function readPairs(input: PairsInput, reading: LoadPairsOptions): Promise<PairDataset> {
  if (typeof input === 'string') return loadPairs(input, reading);
  return 'pairs' in input ? input : { pairs: input, ...memoryFacts(input, hashValues(input)) };
}

/** Weights w(x) of both splits, on the scale of the training pairs. */
export interface PairWeights {
  readonly train: FittedDispersion;
  readonly heldOut: DispersionWeights;
}

/** What an objective needs of the pairs, and what they state themselves. */
export interface PairPlan {
  readonly splits: PairSplits;
  readonly needsReference: boolean;
  readonly source: DispersionSource;
  /** Weights by votes or from a column; absent where they come from the reference's entropies or are not used. */
  readonly stated?: PairWeights;
}

/**
 * Pairs that lack the score gaps, votes or column that the objective needs are an error here: before there is a run, and
 * before the reference model is asked.
 */
export function planPairs(
  splits: PairSplits,
  options: PreferenceDataOptions,
  objective: Objective,
  session: Session,
): PairPlan {
  const examples = [...splits.train.examples, ...splits.heldOut.examples];
  requireScoreGaps(objective, scoreGapRows(examples, splits.locations));
  const source = objective.usesDispersion ? (options.dispersion?.source ?? 'entropy') : 'none';
  const needsReference = objective.needsReference || source === 'entropy';
  const isStated = source === 'votes' || source === 'column';
  return {
    splits,
    needsReference,
    source,
    ...(isStated && { stated: weigh(splits, options, source, session) }),
  };
}

/**
 * Scores under the reference model and weights w(x) of both splits, as far as the objective needs them. The session's
 * model still has to be the reference. Pairs that votes leave contested drop out here.
 */
export async function preparePairs(
  { splits, needsReference, source, stated }: PairPlan,
  options: PreferenceDataOptions,
  session: Session,
  run: RunDirectory | undefined,
): Promise<{ train: PreferenceData; heldOut: PreferenceData }> {
  const { train, heldOut } = splits;
  if (needsReference) session.phase('reference');
  const score = async (split: PairSplit, name: string) => {
    if (!needsReference || split.examples.length === 0) return undefined;
    const scores = await referenceScores(split, options, session);
    run?.writeRecords(name, scores);
    return scores;
  };
  const reference = await score(train, 'reference.jsonl');
  const evalReference = await score(heldOut, 'eval-reference.jsonl');
  if (source === 'none') {
    return { train: preferenceData(train, reference), heldOut: preferenceData(heldOut, evalReference) };
  }
  const weights =
    stated ?? weigh(splits, options, source, session, { train: reference, heldOut: evalReference });
  const data = preferenceData(train, reference, weights.train);
  run?.writeRecords('dispersion.json', [{ ...weights.train.model, ...weights.train.summary }]);
  run?.writeRecords(
    'dispersion.jsonl',
    data.pairs.map(({ id }, index) => {
      const w = weights.train.weights[index]!;
      return { id, negLogDispersion: w, dispersion: Math.exp(-w) };
    }),
  );
  return { train: data, heldOut: preferenceData(heldOut, evalReference, weights.heldOut) };
}

function weigh(
  { train, heldOut, locations }: PairSplits,
  { dispersion }: PreferenceDataOptions,
  source: DispersionSource,
  session: Session,
  scores: {
    readonly train?: readonly PairScore[] | undefined;
    readonly heldOut?: readonly PairScore[] | undefined;
  } = {},
): PairWeights {
  const { shuffle, floor } = dispersion ?? {};
  const fitted = fitDispersion(dispersionRows(train, scores.train, locations), {
    source,
    vocabularySize: session.loaded.config.vocabularySize,
    ...(floor !== undefined && { floor }),
    ...(shuffle === true && { shuffle: session.seed }),
  });
  const applied = applyDispersion(fitted.model, dispersionRows(heldOut, scores.heldOut, locations));
  reportContested(session, [...fitted.contested, ...applied.contested]);
  return { train: fitted, heldOut: applied };
}

async function referenceScores(
  split: PairSplit,
  options: TrainOptions,
  session: Session,
): Promise<PairScore[]> {
  const { loaded, precision, weightsDType } = session;
  // Scores are for whoever loads the same files later. Of a model that is in none, nobody could.
  const directory =
    !inMemoryOnly(loaded.source) && (options.referenceCache ?? join(mallowsCache(), 'references'));
  const { signal } = options;
  return await scorePairs(loaded.model, split.tokens, {
    asTraining: true,
    onProgress: (done, total) => session.emit({ type: 'reference', done, total }),
    notice: (message) => session.note('warning', 'reference-cache', message),
    ...(signal && { signal }),
    ...(directory !== false && {
      cache: {
        directory,
        key: {
          model: loaded.source.hash,
          data: hashValues(
            split.tokens.map(({ id, prompt, chosen, rejected }) => [
              id,
              [...prompt],
              [...chosen],
              [...rejected],
            ]),
          ),
          maxLength: options.maxLength ?? 0,
          dtype:
            weightsDType === precision.dtype
              ? precision.dtype
              : `${weightsDType}, computed in ${precision.dtype}`,
          rounding: rounding(loaded.model.device),
        },
      },
    }),
  });
}

function dispersionRows(
  { examples }: PairSplit,
  scores: readonly PairScore[] | undefined,
  locations: PairLocations,
): DispersionRow[] {
  return examples.map((pair, index) =>
    defined<DispersionRow>({
      id: pair.id,
      at: locations.get(pair),
      votes: pair.votes,
      dispersion: pair.dispersion,
      chosenEntropy: scores?.[index]?.chosen.entropy,
      rejectedEntropy: scores?.[index]?.rejected.entropy,
    }),
  );
}

function scoreGapRows(pairs: readonly PreferencePair[], locations: PairLocations): ScoreGapRow[] {
  return pairs.map((pair) =>
    defined<ScoreGapRow>({ id: pair.id, at: locations.get(pair), scoreGap: scoreGap(pair) }),
  );
}

function preferenceData(
  { examples, tokens }: PairSplit,
  reference: readonly PairScore[] | undefined,
  dispersion?: DispersionWeights,
): PreferenceData {
  const kept = dispersion?.kept ?? Int32Array.from(examples.keys());
  const take = <T>(values: readonly T[]): T[] => Array.from(kept, (index) => values[index]!);
  const gaps = take(examples).map(scoreGap);
  return {
    pairs: take(tokens),
    ...(reference && { reference: take(reference) }),
    ...(dispersion && { dispersion: dispersion.weights }),
    ...(gaps.some((gap) => gap !== undefined) && {
      scoreGaps: Float64Array.from(gaps, (gap) => gap ?? Number.NaN),
    }),
  };
}

function reportContested(session: Session, ids: readonly string[]): void {
  if (ids.length === 0) return;
  const shown = ids.slice(0, 5).join(', ');
  const message = `${ids.length} contested pairs are left out: their votes do not favour the chosen side (${shown}${ids.length > 5 ? ', …' : ''}).`;
  session.note('warning', 'contested-pairs', `${message} Set dispersion.floor to keep them.`);
}
