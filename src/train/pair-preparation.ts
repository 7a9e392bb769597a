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
import type { PairScore, PairWeight, RunDirectory } from '../runs/index.ts';
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
import { ReferencePass, type ReferenceScores } from './reference-pass.ts';
import type { Session } from './session.ts';
import { type Split, type SplitFacts, select } from './splits.ts';

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
  #contested: ContestedPairs | undefined;

  constructor(session: Session, options: PreferenceDataOptions, objective: Objective) {
    this.#source = objective.usesDispersion ? (options.dispersion?.source ?? 'entropy') : 'none';
    this.#session = session;
    this.#options = options;
    this.#objective = objective;
  }

  /**
   * Reads both splits as text. Training pairs that votes leave contested drop out here. Pairs that lack the score gaps, votes
   * or column that the objective needs are an error: before there is a run, and before the reference model is asked.
   */
  async read(): Promise<PairRows> {
    const rows = this.#withoutContested(await readPairRows(this.#options, this.#session));
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
    const listeners = this.#reference?.listeners;
    const splits = await tokenizePairRows(rows, this.#options, this.#session, listeners);
    return { ...splits, facts: withContested(splits.facts, this.#contested) };
  }

  /** Scores under the reference model and weights w(x) of both splits. */
  async prepare(splits: PairSplits, run: RunDirectory | undefined): Promise<PreparedPairs> {
    const { train, heldOut } = splits;
    if (this.#reference === undefined) this.#session.castForReference();
    const reference = await this.#reference?.finish();
    if (reference !== undefined) {
      run?.writeRecords('reference', reference.train);
      if (heldOut.examples.length > 0) run?.writeRecords('evalReference', reference.heldOut);
    }
    const weights = this.#source === 'none' ? undefined : this.#weigh(splits, reference);
    const data = preferenceData(train, reference?.train, weights?.train);
    const heldOutData = preferenceData(heldOut, reference?.heldOut, weights?.heldOut);
    if (weights !== undefined) {
      run?.writeRecords('dispersionModel', [{ ...weights.train.model, ...weights.train.summary }]);
      run?.writeRecords('dispersion', weightLines(data));
      if (heldOut.examples.length > 0) run?.writeRecords('evalDispersion', weightLines(heldOutData));
    }
    return {
      train: data,
      heldOut: heldOutData,
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
    return new ReferencePass(this.#session, this.#options, {
      train: train.examples.length,
      heldOut: heldOut?.examples.length ?? 0,
    });
  }

  /**
   * Without training pairs that votes leave contested. No objective trains on them, also one that weighs nothing, so that
   * runs that differ in their objectives alone see the same pairs. Held-out ones stay: accuracies and log-ratios need no weight,
   * nor, where the objective weighs nothing, votes.
   */
  #withoutContested(rows: PairRows): PairRows {
    const { source, floor } = this.#options.dispersion ?? {};
    if (source !== 'votes' || floor !== undefined) return rows;
    const { train, heldOut = NO_PAIRS, locations } = rows;
    const fitted = fitDispersion(dispersionRows(train, undefined, locations), { source });
    const weighed = this.#source === 'none' ? votedOn(heldOut) : heldOut;
    const applied = applyDispersion(fitted.model, dispersionRows(weighed, undefined, locations));
    this.#contested = { train: fitted.contested, heldOut: applied.contested };
    reportContested(this.#session, this.#contested);
    return { ...rows, train: select(train, fitted.kept) };
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

/** Ids of pairs whose votes do not favour the chosen side. */
interface ContestedPairs {
  /** Left out. */
  readonly train: readonly string[];
  /** Evaluated all the same. */
  readonly heldOut: readonly string[];
}

const NO_PAIRS = { examples: [] };

function votedOn({ examples }: Examples): Examples {
  return { examples: examples.filter(({ votes }) => votes !== undefined) };
}

/** Whether the pairs themselves say their weights. */
function isStated(source: DispersionSource): boolean {
  return source === 'votes' || source === 'column';
}

/** The lines of dispersion.jsonl, and of eval-dispersion.jsonl: what an objective weighs each pair by. */
function weightLines({ pairs, w }: PreferenceData): PairWeight[] {
  return pairs.map(({ id }, index) => {
    const negLogDispersion = w![index]!;
    return { id, negLogDispersion, dispersion: Math.exp(-negLogDispersion) };
  });
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

/** With how many training pairs were left out as contested, and how many held-out ones are. */
function withContested(facts: SplitFacts, contested: ContestedPairs | undefined): SplitFacts {
  if (contested === undefined) return facts;
  const { train, heldOut } = contested;
  return {
    ...facts,
    train: { ...facts.train, contested: train.length } as SplitFacts['train'],
    eval: { ...facts.eval, contested: heldOut.length },
  };
}

function reportContested(session: Session, { train, heldOut }: ContestedPairs): void {
  if (train.length === 0 && heldOut.length === 0) return;
  const left =
    train.length === 0
      ? 'No training pair is contested.'
      : `${countOf(train, 'contested training pair')} left out, whatever the objective: their votes do not favour the chosen side. Set dispersion.floor to keep them.`;
  const kept =
    heldOut.length === 0
      ? ''
      : ` ${countOf(heldOut, 'contested held-out pair')} evaluated, with next to no weight w(x) in the loss.`;
  session.note('warning', 'contested-pairs', `${left}${kept}`);
}

/** `2 contested pairs (a, b) are` */
function countOf(ids: readonly string[], what: string): string {
  const shown = `${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`;
  return `${ids.length} ${what}${ids.length === 1 ? '' : 's'} (${shown}) ${ids.length === 1 ? 'is' : 'are'}`;
}
