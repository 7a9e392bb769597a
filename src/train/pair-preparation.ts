import { type PreferencePair, scoreGap, type TokenizedPair } from '../data/index.ts';
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
import {
  type Located,
  type PairLocations,
  type PairRows,
  type PairSplits,
  type PreferenceDataOptions,
  readPairRows,
  tokenizePairRows,
} from './preference-data.ts';
import type { PreferenceData } from './preference-task.ts';
import type { PairScore } from './reference.ts';
import { ReferencePass, type ReferenceScores } from './reference-pass.ts';
import type { Session } from './session.ts';
import type { Split } from './splits.ts';

/** Pairs with all that training knows of each beforehand. */
export interface PreparedPairs {
  readonly train: PreferenceData;
  readonly heldOut: PreferenceData;
  /** Where the weights w(x) came from. */
  readonly source: DispersionSource;
  /** What puts the weights w(x) on their scale; absent where the objective weighs nothing. */
  readonly phiStar?: number;
  readonly splits: PairSplits;
}

/**
 * What preference tuning does before the first step: reads pairs, tokenises them, scores them under the reference model (the
 * session's own, before it is trained), and weighs them. Call `read`, `tokenize` and `prepare` in this order, `stop` at the end.
 */
export class PairPreparation {
  readonly #session: Session;
  readonly #options: PreferenceDataOptions;
  readonly #objective: Objective;
  readonly #source: DispersionSource;
  #reference: ReferencePass | undefined;

  constructor(session: Session, options: PreferenceDataOptions, objective: Objective) {
    this.#source = objective.usesDispersion ? (options.dispersion?.source ?? 'entropy') : 'none';
    this.#session = session;
    this.#options = options;
    this.#objective = objective;
  }

  /**
   * Reads both splits as text. Pairs that lack the score gaps, votes or column that the objective needs are an error here:
   * before there is a run, and before the reference model is asked.
   */
  async read(): Promise<PairRows> {
    const rows = await readPairRows(this.#options, this.#session);
    const { train, heldOut = NO_PAIRS, locations } = rows;
    requireScoreGaps(this.#objective, scoreGapRows([...train.examples, ...heldOut.examples], locations));
    if (isStated(this.#source)) this.#weigh({ train, heldOut, locations });
    return rows;
  }

  /** Tokenises both splits. The reference pass, where the objective needs one, runs beside it. */
  async tokenize(rows: PairRows): Promise<PairSplits> {
    if (this.#objective.needsReference || this.#source === 'entropy') {
      this.#reference = this.#beginReference(rows);
    }
    return tokenizePairRows(rows, this.#options, this.#session, this.#reference?.listeners);
  }

  /** Scores under the reference model and weights w(x) of both splits. Pairs that votes leave contested drop out here. */
  async prepare(splits: PairSplits, run: RunDirectory | undefined): Promise<PreparedPairs> {
    const { train, heldOut } = splits;
    if (this.#reference === undefined) this.#session.castForReference();
    const reference = await this.#reference?.finish();
    if (reference !== undefined) {
      run?.writeRecords('reference.jsonl', reference.train);
      if (heldOut.examples.length > 0) run?.writeRecords('eval-reference.jsonl', reference.heldOut);
    }
    const weights = this.#source === 'none' ? undefined : this.#weigh(splits, reference);
    const data = preferenceData(train, reference?.train, weights?.train);
    if (weights !== undefined) {
      reportContested(this.#session, [...weights.train.contested, ...weights.heldOut.contested]);
      writeWeights(run, data, weights.train);
    }
    return {
      train: data,
      heldOut: preferenceData(heldOut, reference?.heldOut, weights?.heldOut),
      source: this.#source,
      ...(weights && { phiStar: weights.train.model.phiStar }),
      splits,
    };
  }

  /** Ends a reference pass that is still going on. */
  async stop(): Promise<void> {
    await this.#reference?.stop();
  }

  #beginReference({ train, heldOut }: PairRows): ReferencePass {
    this.#session.castForReference();
    const most = this.#options.evaluation?.maxPairs ?? Number.POSITIVE_INFINITY;
    return new ReferencePass(this.#session, this.#options, {
      train: train.examples.length,
      heldOut: Math.min(heldOut?.examples.length ?? 0, most),
    });
  }

  /** Weights w(x) of both splits, on the scale of the training pairs. */
  #weigh({ train, heldOut, locations }: LocatedExamples, scores?: ReferenceScores): PairWeights {
    const { shuffle, floor } = this.#options.dispersion ?? {};
    const fitted = fitDispersion(dispersionRows(train, scores?.train, locations), {
      source: this.#source,
      vocabularySize: this.#session.loaded.config.vocabularySize,
      ...(floor !== undefined && { floor }),
      ...(shuffle === true && { shuffle: this.#session.seed }),
    });
    const applied = applyDispersion(fitted.model, dispersionRows(heldOut, scores?.heldOut, locations));
    return { train: fitted, heldOut: applied };
  }
}

type PairSplit = Split<PreferencePair, TokenizedPair>;

interface LocatedExamples extends Located {
  readonly train: Examples;
  readonly heldOut: Examples;
}

interface PairWeights {
  readonly train: FittedDispersion;
  readonly heldOut: DispersionWeights;
}

const NO_PAIRS = { examples: [] };

/** Whether the pairs themselves say their weights. */
function isStated(source: DispersionSource): boolean {
  return source === 'votes' || source === 'column';
}

function writeWeights(
  run: RunDirectory | undefined,
  { pairs }: PreferenceData,
  { model, summary, weights }: FittedDispersion,
): void {
  run?.writeRecords('dispersion.json', [{ ...model, ...summary }]);
  run?.writeRecords(
    'dispersion.jsonl',
    pairs.map(({ id }, index) => {
      const w = weights[index]!;
      return { id, negLogDispersion: w, dispersion: Math.exp(-w) };
    }),
  );
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
    ...(dispersion && { w: dispersion.weights }),
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
