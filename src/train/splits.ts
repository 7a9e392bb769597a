import {
  type BadRow,
  type Dataset,
  hashValues,
  type LoadPairsOptions,
  type TextOrChat,
  type TokenizeDatasetOptions,
  type Tokenized,
} from '../data/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { heldOutCount, holdOut } from './holdout.ts';
import type { TrainOptions } from './options.ts';

/** Rows to train on and rows that are held out, still text. Which is which does not depend on the tokenizer. */
export interface RowSplits<Example> {
  readonly train: Dataset<Example>;
  /** Undefined where nothing is held out. */
  readonly heldOut: Dataset<Example> | undefined;
  /** What both are parts of; absent where held-out rows are a data set of their own. */
  readonly shared?: {
    readonly data: Dataset<Example>;
    readonly fraction: number;
    readonly seed: number;
  };
}

/** Examples with their tokens, in one order. */
export interface Split<Example, Tokens> {
  readonly examples: readonly Example[];
  readonly tokens: readonly Tokens[];
}

export interface Splits<Example, Tokens> {
  readonly train: Split<Example, Tokens>;
  readonly heldOut: Split<Example, Tokens>;
  /** For provenance.json. */
  readonly facts: { readonly train: { readonly source: string }; readonly eval: unknown };
}

/** Who is given tokens while later rows are still text: those of training rows first, all of them, then held-out ones. */
export interface TokenListeners<Tokens> {
  readonly train: (tokens: readonly Tokens[]) => void;
  readonly heldOut: (tokens: readonly Tokens[]) => void;
}

/** What reading data needs of a session: whose tokens, and whom to tell. */
export interface DataSession {
  readonly loaded: { readonly tokenizer: Tokenizer };
  /** When the run began, for chat templates that write the date: resumed another day, it has the same tokens. */
  readonly started: Date;
  phase(phase: TrainPhase): void;
  emit(event: TrainEvent): void;
}

/** What pairs and sequences differ in: how an input becomes a data set, and a data set tokens. */
export interface SplitReader<Input, Example, Tokens> {
  read(input: Input, reading: NonNullable<TrainOptions['reading']>): Promise<Dataset<Example>>;
  tokenize(
    data: Dataset<Example>,
    tokenizer: Tokenizer,
    options: TokenizeDatasetOptions<Tokens>,
  ): Promise<Tokenized<Example, Tokens>>;
}

/** Where examples come from, and how they are read. */
export interface SplitOptions<Input>
  extends Pick<TrainOptions, 'reading' | 'maxLength' | 'evalFraction' | 'evalSeed' | 'evaluation'> {
  readonly data: Input;
  /** Held-out examples. Default: `evalFraction` of the data. */
  readonly evalData?: Input;
}

type AnyExample = { readonly id: string; readonly prompt?: TextOrChat };

const DEFAULT_EVAL_FRACTION = 0.1;

/** Reads training and held-out rows. */
export async function readRows<Input, Example extends AnyExample>(
  { read }: Pick<SplitReader<Input, Example, never>, 'read'>,
  options: SplitOptions<Input>,
  session: DataSession,
): Promise<RowSplits<Example>> {
  session.phase('tokenize');
  const chatTemplate = session.loaded.tokenizer.chatTemplate !== undefined;
  const reading = { chatTemplate, ...options.reading };
  const data = await read(options.data, reading);
  if (options.evalData !== undefined) return { train: data, heldOut: await read(options.evalData, reading) };
  const fraction = options.evalFraction ?? DEFAULT_EVAL_FRACTION;
  const seed = options.evalSeed ?? 0;
  const { train, heldOut } = holdOut(data.examples, fraction, seed);
  const wanted = heldOutCount(data.examples.length, fraction);
  if (Math.abs(heldOut.length - wanted) > Math.max(1, wanted / 2)) {
    session.emit(unevenSplit(heldOut.length, wanted, data.examples.length));
  }
  return {
    train: select(data, train),
    heldOut: heldOut.length === 0 ? undefined : select(data, heldOut),
    shared: { data, fraction, seed },
  };
}

/** Tokenises both splits, telling the observer what was left out and why. */
export async function tokenizeRows<Input, Example extends AnyExample, Tokens>(
  { tokenize }: Pick<SplitReader<Input, Example, Tokens>, 'tokenize'>,
  { train, heldOut, shared }: RowSplits<Example>,
  options: SplitOptions<Input>,
  session: DataSession,
  listeners?: TokenListeners<Tokens>,
): Promise<Splits<Example, Tokens>> {
  const tokenized = (data: Dataset<Example>, onTokens?: (tokens: readonly Tokens[]) => void) => {
    const { maxLength, reading } = options;
    const required = data !== heldOut || shared === undefined;
    const now = session.started;
    const given = defined({ maxLength, now, strict: reading?.strict, required, onTokens });
    return tokenize(data, session.loaded.tokenizer, given);
  };
  const most = options.evaluation?.maxPairs ?? Number.POSITIVE_INFINITY;
  const trained = await tokenized(train, listeners?.train);
  const trainFacts = shared === undefined ? report(train, trained, 'train', session) : undefined;
  const held = heldOut && (await tokenized(heldOut, listeners && upTo(most, listeners.heldOut)));
  const splits = { train: trained, heldOut: firstOf(held ?? NOTHING, most) };
  if (shared === undefined) {
    const evalFacts = report(heldOut!, held!, 'eval', session);
    return { ...splits, facts: { train: trainFacts!, eval: evalFacts } };
  }
  const { data, fraction, seed } = shared;
  const facts = report(data, held === undefined ? trained : joined(data, trained, held), 'train', session);
  if (held?.examples.length === 0) session.emit(nothingHeldOut(held.badRows.length));
  const rows = held?.examples.length ?? 0;
  return { ...splits, facts: { train: facts, eval: { heldOutFraction: fraction, heldOutSeed: seed, rows } } };
}

/** `readRows`, then `tokenizeRows`. */
export async function readSplits<Input, Example extends AnyExample, Tokens>(
  reader: SplitReader<Input, Example, Tokens>,
  options: SplitOptions<Input>,
  session: DataSession,
): Promise<Splits<Example, Tokens>> {
  const rows = await readRows(reader, options, session);
  return tokenizeRows(reader, rows, options, session);
}

const NOTHING = { examples: [], tokens: [] };

function firstOf<Example, Tokens>(split: Split<Example, Tokens>, most: number): Split<Example, Tokens> {
  return { examples: split.examples.slice(0, most), tokens: split.tokens.slice(0, most) };
}

/** Passes the first so many on. */
function upTo<T>(most: number, listener: (values: readonly T[]) => void): (values: readonly T[]) => void {
  let room = most;
  return (values) => {
    const taken = values.slice(0, room);
    room -= taken.length;
    if (taken.length > 0) listener(taken);
  };
}

/** Tells the observer about a data set; returns the same for provenance.json. */
function report<Example, Tokens>(
  { source, format, hash, badRows: unread }: Dataset<Example>,
  { examples, badRows: untokenized, cut, moved }: Tokenized<Example, Tokens>,
  split: 'train' | 'eval',
  session: DataSession,
) {
  const badRows = [...unread, ...untokenized];
  const usable = examples.length;
  session.emit({ type: 'data', split, source, format, usable, badRows, cut, moved });
  return { source, format, hash, rows: usable, badRows: badRows.length, cut, moved };
}

/** What tokenising made of a data set's two parts, as if it had been one. */
function joined<Example extends AnyExample, Tokens>(
  { examples }: Dataset<Example>,
  a: Tokenized<Example, Tokens>,
  b: Tokenized<Example, Tokens>,
): Tokenized<Example, Tokens> {
  const sum = (name: 'cut' | 'moved') => ({
    examples: a[name].examples + b[name].examples,
    tokens: a[name].tokens + b[name].tokens,
  });
  const places = new Map(examples.map(({ id }, place) => [id, place]));
  const place = ({ id }: BadRow) => places.get(id!)!;
  return {
    examples: [...a.examples, ...b.examples],
    tokens: [...a.tokens, ...b.tokens],
    badRows: [...a.badRows, ...b.badRows].sort((x, y) => place(x) - place(y)),
    cut: sum('cut'),
    moved: sum('moved'),
  };
}

function unevenSplit(heldOut: number, wanted: number, rows: number): TrainEvent {
  return {
    type: 'note',
    level: 'warning',
    code: 'uneven-split',
    message: `${heldOut} of ${rows} rows are held out where ${wanted} were asked for: rows with one prompt stay together. Give held-out data of their own, or another fraction.`,
  };
}

function nothingHeldOut(rows: number): TrainEvent {
  return {
    type: 'note',
    level: 'warning',
    code: 'nothing-held-out',
    message: `Nothing is evaluated: none of the ${rows} held-out rows is usable. Hold more out, or raise the maximum length.`,
  };
}

function select<Example>(data: Dataset<Example>, indices: readonly number[]): Dataset<Example> {
  return {
    ...data,
    examples: indices.map((index) => data.examples[index]!),
    locations: indices.map((index) => data.locations[index]!),
  };
}

/** Rows as a file or hub data set, loaded, or in memory. */
export type RowsInput<Example> = string | Dataset<Example> | readonly Example[];

/** Whatever rows are given as, as a data set. */
export async function readInput<Example>(
  load: (source: string, reading: LoadPairsOptions) => Promise<Dataset<Example>>,
  input: RowsInput<Example>,
  reading: LoadPairsOptions,
): Promise<Dataset<Example>> {
  if (typeof input === 'string') return load(input, reading);
  return 'examples' in input ? input : { examples: input, ...memoryFacts(input, hashValues(input)) };
}

/** The parts of a data set that rows in memory have in place of a file's; `source` goes into provenance and model card. */
export function memoryFacts(rows: readonly unknown[], hash: string, source = 'memory') {
  const locations = rows.map((_, index) => ({ file: source, line: index + 1 }));
  return { locations, badRows: [], format: 'generic', hash, source };
}
