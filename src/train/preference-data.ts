import {
  type Dataset,
  hashValues,
  type LoadPairsOptions,
  loadPairs,
  type PairDataset,
  type PreferencePair,
  scoreGap,
  type TokenizedPair,
  tokenizePairs,
} from '../data/index.ts';
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
import type { TrainOptions } from './options.ts';
import type { PreferenceData } from './preference-task.ts';
import type { PairScore } from './reference.ts';
import { ReferencePass, type ReferenceScores } from './reference-pass.ts';
import type { Session } from './session.ts';
import {
  type DataSession,
  memoryFacts,
  type RowSplits,
  readRows,
  type Split,
  type SplitOptions,
  type SplitReader,
  type Splits,
  type TokenListeners,
  tokenizeRows,
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

type PairLocations = ReadonlyMap<PreferencePair, SourceLocation>;

/** Where each pair stands, for errors that name it. */
interface Located {
  readonly locations: PairLocations;
}

export interface PairRows extends RowSplits<PreferencePair>, Located {}

export interface PairSplits extends Splits<PreferencePair, TokenizedPair>, Located {}

/** Reads training and held-out pairs as text. */
export async function readPairRows(options: PairSources, session: DataSession): Promise<PairRows> {
  const rows = await readRows({ read: readPairs }, options, session);
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
  const splits = await tokenizeRows({ tokenize }, rows, options, session, listeners);
  return { ...splits, locations: rows.locations };
}

async function readPairs(input: PairsInput, reading: LoadPairsOptions): Promise<Dataset<PreferencePair>> {
  if (typeof input !== 'string' && !('pairs' in input)) {
    return { examples: input, ...memoryFacts(input, hashValues(input)) };
  }
  const { pairs, ...facts } = typeof input === 'string' ? await loadPairs(input, reading) : input;
  return { examples: pairs, ...facts };
}

const tokenize: SplitReader<PairsInput, PreferencePair, TokenizedPair>['tokenize'] = (
  { examples, ...facts },
  tokenizer,
  options,
) => tokenizePairs({ pairs: examples, ...facts }, tokenizer, options);

/** What an objective needs to know of each pair beforehand. */
export interface PairNeeds {
  readonly needsReference: boolean;
  readonly source: DispersionSource;
}

/**
 * Pairs that lack the score gaps, votes or column that the objective needs are an error here: before there is a run, and
 * before the reference model is asked.
 */
export function requirePairs(
  rows: PairRows,
  options: PreferenceDataOptions,
  objective: Objective,
  session: Session,
): PairNeeds {
  const heldOut = rows.heldOut ?? NO_PAIRS;
  const examples = [...rows.train.examples, ...heldOut.examples];
  requireScoreGaps(objective, scoreGapRows(examples, rows.locations));
  const source = objective.usesDispersion ? (options.dispersion?.source ?? 'entropy') : 'none';
  if (isStated(source)) weigh({ ...rows, heldOut }, options, source, session);
  return { needsReference: objective.needsReference || source === 'entropy', source };
}

const NO_PAIRS = { examples: [] };

/** Whether the pairs themselves say their weights. */
function isStated(source: DispersionSource): boolean {
  return source === 'votes' || source === 'column';
}

/** The reference pass over rows that are about to be tokenised: give its listeners to `tokenizePairRows`. */
export function beginReference(
  { train, heldOut }: PairRows,
  options: PreferenceDataOptions,
  session: Session,
): ReferencePass {
  session.castForReference();
  const most = options.evaluation?.maxPairs ?? Number.POSITIVE_INFINITY;
  return new ReferencePass(session, options, {
    train: train.examples.length,
    heldOut: Math.min(heldOut?.examples.length ?? 0, most),
  });
}

export interface PreparedPairs {
  readonly train: PreferenceData;
  readonly heldOut: PreferenceData;
  /** What puts the weights w(x) on their scale; absent where the objective weighs nothing. */
  readonly phiStar?: number;
}

/**
 * Scores under the reference model and weights w(x) of both splits, as far as the objective needs them. Pairs that votes
 * leave contested drop out here.
 */
export function preparePairs(
  splits: PairSplits,
  reference: ReferenceScores | undefined,
  source: DispersionSource,
  options: PreferenceDataOptions,
  session: Session,
  run: RunDirectory | undefined,
): PreparedPairs {
  const { train, heldOut } = splits;
  if (reference !== undefined) run?.writeRecords('reference.jsonl', reference.train);
  if (reference !== undefined && heldOut.examples.length > 0) {
    run?.writeRecords('eval-reference.jsonl', reference.heldOut);
  }
  if (source === 'none') {
    return {
      train: preferenceData(train, reference?.train),
      heldOut: preferenceData(heldOut, reference?.heldOut),
    };
  }
  const weights = weigh(splits, options, source, session, reference);
  reportContested(session, [...weights.train.contested, ...weights.heldOut.contested]);
  const data = preferenceData(train, reference?.train, weights.train);
  run?.writeRecords('dispersion.json', [{ ...weights.train.model, ...weights.train.summary }]);
  run?.writeRecords(
    'dispersion.jsonl',
    data.pairs.map(({ id }, index) => {
      const w = weights.train.weights[index]!;
      return { id, negLogDispersion: w, dispersion: Math.exp(-w) };
    }),
  );
  return {
    train: data,
    heldOut: preferenceData(heldOut, reference?.heldOut, weights.heldOut),
    phiStar: weights.train.model.phiStar,
  };
}

/** Weights w(x) of both splits, on the scale of the training pairs. */
function weigh(
  { train, heldOut, locations }: { readonly train: Examples; readonly heldOut: Examples } & Located,
  { dispersion }: PreferenceDataOptions,
  source: DispersionSource,
  session: Session,
  scores?: ReferenceScores,
): { readonly train: FittedDispersion; readonly heldOut: DispersionWeights } {
  const { shuffle, floor } = dispersion ?? {};
  const fitted = fitDispersion(dispersionRows(train, scores?.train, locations), {
    source,
    vocabularySize: session.loaded.config.vocabularySize,
    ...(floor !== undefined && { floor }),
    ...(shuffle === true && { shuffle: session.seed }),
  });
  const applied = applyDispersion(fitted.model, dispersionRows(heldOut, scores?.heldOut, locations));
  return { train: fitted, heldOut: applied };
}

type Examples = Pick<PairSplit, 'examples'>;

function dispersionRows(
  { examples }: Examples,
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
