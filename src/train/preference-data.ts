import { join } from 'node:path';
import { mallowsCache } from '../checkpoints/files.ts';
import {
  hashValues,
  loadPairs,
  type PairDataset,
  type PreferencePair,
  scoreGap,
  type TokenizedPair,
  tokenizePairs,
} from '../data/index.ts';
import {
  applyDispersion,
  type DispersionRow,
  type DispersionSource,
  type DispersionWeights,
  fitDispersion,
  type Objective,
} from '../objectives/index.ts';
import type { RunDirectory } from '../runs/index.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { holdOut } from './holdout.ts';
import type { TrainOptions } from './options.ts';
import type { PreferenceData } from './preference-task.ts';
import { type PairScore, scorePairs } from './reference.ts';
import type { Session } from './session.ts';

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
export interface PairSources
  extends Pick<TrainOptions, 'reading' | 'maxLength' | 'evalFraction' | 'evaluation'> {
  readonly data: PairsInput;
  /** Held-out pairs. Default: `evalFraction` of the data. */
  readonly evalData?: PairsInput;
}

export interface PreferenceDataOptions extends TrainOptions, PairSources {
  readonly dispersion?: DispersionTraining;
}

/** Examples with their tokens, in one order. */
export interface PairSplit {
  readonly pairs: readonly PreferencePair[];
  readonly tokens: readonly TokenizedPair[];
  /** Hash of the examples. */
  readonly hash: string;
}

export interface Splits {
  readonly train: PairSplit;
  readonly heldOut: PairSplit;
  /** For provenance.json. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What reading data needs of a session: whose tokens, whom to tell, and the seed that holds rows out. */
export interface DataSession {
  readonly loaded: { readonly tokenizer: Tokenizer };
  readonly seed: number;
  phase(phase: TrainPhase): void;
  emit(event: TrainEvent): void;
}

const DEFAULT_EVAL_FRACTION = 0.1;

/** Loads and tokenises training and held-out pairs, telling the observer what was left out and why. */
export async function readSplits(options: PairSources, session: DataSession): Promise<Splits> {
  session.phase('tokenize');
  const all = await readPairs(options.data, 'train', options, session);
  if (options.evalData !== undefined) {
    const heldOut = await readPairs(options.evalData, 'eval', options, session);
    return {
      train: all.split,
      heldOut: limit(heldOut.split, options),
      facts: { train: all.facts, eval: heldOut.facts },
    };
  }
  const fraction = options.evalFraction ?? DEFAULT_EVAL_FRACTION;
  const { train, heldOut } = holdOut(all.split.pairs, fraction, session.seed);
  return {
    train: select(all.split, train),
    heldOut: limit(select(all.split, heldOut), options),
    facts: { train: all.facts, eval: { heldOutFraction: fraction, rows: heldOut.length } },
  };
}

async function readPairs(
  input: PairsInput,
  name: 'train' | 'eval',
  options: PairSources,
  session: DataSession,
) {
  const { tokenizer } = session.loaded;
  const chatTemplate = tokenizer.chatTemplate !== undefined;
  const data =
    typeof input === 'string'
      ? await loadPairs(input, { chatTemplate, ...options.reading })
      : 'pairs' in input
        ? input
        : inMemory(input);
  const { examples, tokens, badRows, cut, moved } = await tokenizePairs(
    data,
    tokenizer,
    defined({ maxLength: options.maxLength, strict: options.reading?.strict }),
  );
  const { source, format, hash } = data;
  const bad = [...data.badRows, ...badRows];
  session.emit({
    type: 'data',
    split: name,
    source,
    format,
    usable: examples.length,
    badRows: bad,
    cut,
    moved,
  });
  return {
    split: { pairs: examples, tokens, hash: hashValues(examples) },
    facts: { source, format, hash, rows: examples.length, badRows: bad.length, cut, moved },
  };
}

function inMemory(pairs: readonly PreferencePair[]): PairDataset {
  const locations = pairs.map((_, index) => ({ file: 'memory', line: index + 1 }));
  return { pairs, locations, badRows: [], format: 'generic', hash: hashValues(pairs), source: 'memory' };
}

function select({ pairs, tokens }: PairSplit, indices: readonly number[]): PairSplit {
  const chosen = indices.map((index) => pairs[index]!);
  return { pairs: chosen, tokens: indices.map((index) => tokens[index]!), hash: hashValues(chosen) };
}

function limit(split: PairSplit, { evaluation }: PairSources): PairSplit {
  const most = evaluation?.maxPairs ?? split.pairs.length;
  return most >= split.pairs.length ? split : select(split, [...split.pairs.keys()].slice(0, most));
}

/**
 * Scores under the reference model and weights w(x) of both splits, as far as the objective needs them. The session's
 * model still has to be the reference. Pairs that votes leave contested drop out here, and the observer is told.
 */
export async function preparePairs(
  { train, heldOut }: Splits,
  options: PreferenceDataOptions,
  objective: Objective,
  session: Session,
  run: RunDirectory | undefined,
): Promise<{ train: PreferenceData; heldOut: PreferenceData }> {
  const source = objective.usesDispersion ? (options.dispersion?.source ?? 'entropy') : 'none';
  const needsScores = objective.needsReference || source === 'entropy';
  if (needsScores) session.phase('reference');
  const score = async (split: PairSplit, name: string) => {
    if (!needsScores || split.pairs.length === 0) return undefined;
    const scores = await referenceScores(split, options, session);
    run?.writeRecords(name, scores);
    return scores;
  };
  const reference = await score(train, 'reference.jsonl');
  const evalReference = await score(heldOut, 'eval-reference.jsonl');
  if (source === 'none') {
    return { train: preferenceData(train, reference), heldOut: preferenceData(heldOut, evalReference) };
  }
  const { shuffle, floor } = options.dispersion ?? {};
  const fitted = fitDispersion(dispersionRows(train, reference), {
    source,
    vocabularySize: session.loaded.config.vocabularySize,
    ...(floor !== undefined && { floor }),
    ...(shuffle === true && { shuffle: session.seed }),
  });
  const applied = applyDispersion(fitted.model, dispersionRows(heldOut, evalReference));
  reportContested(session, [...fitted.contested, ...applied.contested]);
  const data = preferenceData(train, reference, fitted);
  run?.writeRecords('dispersion.json', [{ ...fitted.model, ...fitted.summary }]);
  run?.writeRecords(
    'dispersion.jsonl',
    data.pairs.map(({ id }, index) => {
      const w = fitted.weights[index]!;
      return { id, negLogDispersion: w, dispersion: Math.exp(-w) };
    }),
  );
  return { train: data, heldOut: preferenceData(heldOut, evalReference, applied) };
}

async function referenceScores(
  split: PairSplit,
  options: TrainOptions,
  session: Session,
): Promise<PairScore[]> {
  const { loaded, precision } = session;
  const directory = options.referenceCache ?? join(mallowsCache(), 'references');
  const { signal } = options;
  return await scorePairs(loaded.model, split.tokens, {
    onProgress: (done, total) => session.emit({ type: 'reference', done, total }),
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
          dtype: precision.dtype,
          style: loaded.model.device,
        },
      },
    }),
  });
}

function dispersionRows({ pairs }: PairSplit, scores: readonly PairScore[] | undefined): DispersionRow[] {
  return pairs.map(({ id, votes, dispersion }, index) =>
    defined<DispersionRow>({
      id,
      votes,
      dispersion,
      at: undefined,
      chosenEntropy: scores?.[index]?.chosen.entropy,
      rejectedEntropy: scores?.[index]?.rejected.entropy,
    }),
  );
}

function preferenceData(
  { pairs, tokens }: PairSplit,
  reference: readonly PairScore[] | undefined,
  dispersion?: DispersionWeights,
): PreferenceData {
  const kept = dispersion?.kept ?? Int32Array.from(pairs.keys());
  const take = <T>(values: readonly T[]): T[] => Array.from(kept, (index) => values[index]!);
  const gaps = take(pairs).map(scoreGap);
  return {
    pairs: take(tokens),
    ...(reference && { reference: take(reference) }),
    ...(dispersion && { dispersion: dispersion.weights }),
    ...(gaps.length > 0 && gaps.every((gap) => gap !== undefined) && { scoreGaps: Float64Array.from(gaps) }),
  };
}

function reportContested(session: Session, ids: readonly string[]): void {
  if (ids.length === 0) return;
  const shown = ids.slice(0, 5).join(', ');
  const message = `${ids.length} contested pairs are left out: their votes do not favour the chosen side (${shown}${ids.length > 5 ? ', …' : ''}).`;
  session.note('warning', 'contested-pairs', `${message} Set dispersion.floor to keep them.`);
}
