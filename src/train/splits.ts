import {
  type BadRow,
  type DataSource,
  type Dataset,
  defaultMaxLength,
  hashValues,
  type LoadPairsOptions,
  promptKey,
  type TextOrChat,
  type TokenizeDatasetOptions,
  type Tokenized,
  type TokenizedPair,
  type TokenizedSequence,
} from '../data/index.ts';
import { contextNotice } from '../models/context-length.ts';
import type { ModelConfig } from '../models/contract.ts';
import type { DataOrigin } from '../runs/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { drawRows, heldOutCount, holdOut } from './holdout.ts';
import type { TrainOptions } from './options.ts';

/** Rows to train on and rows that are held out, still text. Which is which does not depend on the tokenizer. */
export interface RowSplits<Example> {
  readonly train: Dataset<Example>;
  /** Undefined where nothing is held out. */
  readonly heldOut: Dataset<Example> | undefined;
  /** How many rows the held-out ones were drawn from; absent where all of them are evaluated. */
  readonly drawnFrom?: number;
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
  readonly facts: SplitFacts;
}

export type SplitFacts = {
  readonly train: DataOrigin & { readonly source: string };
  readonly eval: DataOrigin;
  /** Tokens of prompt and completion together at most, also where nobody said how many. */
  readonly maxLength: number;
};

/** Who is given tokens while later rows are still text: those of training rows first, all of them, then held-out ones. */
export interface TokenListeners<Tokens> {
  readonly train: (tokens: readonly Tokens[]) => void;
  readonly heldOut: (tokens: readonly Tokens[]) => void;
}

/** What reading data needs of a session: whose tokens, and whom to tell. */
export interface DataSession {
  readonly loaded: { readonly tokenizer: Tokenizer; readonly config: ModelConfig };
  /** When the run began, for chat templates that write the date: resumed another day, it has the same tokens. */
  readonly started: Date;
  phase(phase: TrainPhase): void;
  emit(event: TrainEvent): void;
}

/** What pairs and sequences differ in: how an input becomes a data set, and a data set tokens. */
export interface SplitReader<Input, Example, Tokens> {
  read(input: Input, reading: LoadPairsOptions): Promise<Dataset<Example>>;
  tokenize(
    data: Dataset<Example>,
    tokenizer: Tokenizer,
    options: TokenizeDatasetOptions<Tokens>,
  ): Promise<Tokenized<Example, Tokens>>;
}

/** Where examples come from, and how they are read. */
export interface SplitOptions<Input>
  extends Pick<
    TrainOptions,
    'reading' | 'maxLength' | 'evalFraction' | 'evalSeed' | 'evaluation' | 'signal'
  > {
  readonly data: Input;
  /** Held-out examples. Default: `evalFraction` of the data. */
  readonly evalData?: Input;
}

type AnyExample = { readonly id: string; readonly prompt?: TextOrChat };

type AnyTokens = TokenizedPair | TokenizedSequence;

const DEFAULT_EVAL_FRACTION = 0.1;

/**
 * Reads training and held-out rows; of more held-out rows than are evaluated, a choice that follows from `evalSeed`. Stops
 * between two rows by throwing the signal's reason.
 */
export async function readRows<Input, Example extends AnyExample>(
  { read }: Pick<SplitReader<Input, Example, never>, 'read'>,
  options: SplitOptions<Input>,
  session: DataSession,
): Promise<RowSplits<Example>> {
  session.phase('tokenize');
  const chatTemplate = session.loaded.tokenizer.chatTemplate !== undefined;
  const { signal } = options;
  const reading = { chatTemplate, ...options.reading, ...(signal && { signal }) };
  const data = await read(options.data, reading);
  const seed = options.evalSeed ?? 0;
  const most = options.evaluation?.maxPairs ?? Number.POSITIVE_INFINITY;
  if (options.evalData !== undefined) {
    return { train: data, ...draw(await read(options.evalData, reading), most, seed) };
  }
  const fraction = options.evalFraction ?? DEFAULT_EVAL_FRACTION;
  const { train, heldOut } = holdOut(data.examples, fraction, seed);
  const wanted = heldOutCount(data.examples.length, fraction);
  if (Math.abs(heldOut.length - wanted) > Math.max(1, wanted / 2)) {
    session.emit(unevenSplit(heldOut.length, wanted, data.examples.length));
  }
  return {
    train: select(data, train),
    ...(heldOut.length === 0 ? { heldOut: undefined } : draw(select(data, heldOut), most, seed)),
    shared: { data, fraction, seed },
  };
}

/** Tokenises both splits, telling the observer what was left out and why. Stops by throwing the signal's reason. */
export async function tokenizeRows<Input, Example extends AnyExample, Tokens extends AnyTokens>(
  { tokenize }: Pick<SplitReader<Input, Example, Tokens>, 'tokenize'>,
  { train, heldOut, shared, drawnFrom }: RowSplits<Example>,
  options: SplitOptions<Input>,
  session: DataSession,
  listeners?: TokenListeners<Tokens>,
): Promise<Splits<Example, Tokens>> {
  const { tokenizer, config } = session.loaded;
  const maxLength = options.maxLength ?? defaultMaxLength(config);
  const tokenized = (data: Dataset<Example>, onTokens?: (tokens: readonly Tokens[]) => void) => {
    const required = data !== heldOut || shared === undefined;
    const now = session.started;
    const onProgress = () => options.signal?.throwIfAborted();
    const given = defined({
      maxLength,
      now,
      strict: options.reading?.strict,
      required,
      onTokens,
      onProgress,
    });
    return tokenize(data, tokenizer, given);
  };
  const trained = await tokenized(train, listeners?.train);
  const trainFacts = shared === undefined ? report(train, trained, 'train', session) : undefined;
  const held = heldOut && (await tokenized(heldOut, listeners?.heldOut));
  const splits = { train: trained, heldOut: held ?? NOTHING };
  warnOfContext([...trained.tokens, ...splits.heldOut.tokens], session);
  const evaluated = defined({
    drawnFrom,
    promptsTrainedOn: countTrainedOn(splits, session),
    idsHash: hashIds(splits.heldOut),
  });
  if (shared === undefined) {
    const evalFacts = report(heldOut!, held!, 'eval', session);
    return { ...splits, facts: { train: trainFacts!, eval: { ...evalFacts, ...evaluated }, maxLength } };
  }
  const { data, fraction, seed } = shared;
  const facts = report(data, held === undefined ? trained : joined(data, trained, held), 'train', session);
  if (held?.examples.length === 0) session.emit(nothingHeldOut(held.badRows.length));
  const rows = held?.examples.length ?? 0;
  const evalFacts = { heldOutFraction: fraction, heldOutSeed: seed, rows, ...evaluated };
  return { ...splits, facts: { train: facts, eval: evalFacts, maxLength } };
}

/** `readRows`, then `tokenizeRows`. */
export async function readSplits<Input, Example extends AnyExample, Tokens extends AnyTokens>(
  reader: SplitReader<Input, Example, Tokens>,
  options: SplitOptions<Input>,
  session: DataSession,
): Promise<Splits<Example, Tokens>> {
  const rows = await readRows(reader, options, session);
  return tokenizeRows(reader, rows, options, session);
}

const NOTHING = { examples: [], tokens: [] };

function draw<Example extends AnyExample>(
  data: Dataset<Example>,
  most: number,
  seed: number,
): Pick<RowSplits<Example>, 'heldOut' | 'drawnFrom'> {
  const rows = data.examples.length;
  if (rows <= most) return { heldOut: data };
  return { heldOut: select(data, drawRows(data.examples, most, seed)), drawnFrom: rows };
}

/** Which held-out rows are evaluated; undefined where none is. */
function hashIds({ examples }: Split<AnyExample, unknown>): string | undefined {
  return examples.length === 0 ? undefined : hashValues(examples.map(({ id }) => id));
}

function warnOfContext(tokens: readonly AnyTokens[], session: DataSession): void {
  const message = contextNotice(tokens.map(lengthOf), 'rows', session.loaded.config);
  if (message === undefined) return;
  const advice = `Set the maximum length to ${session.loaded.config.maxPositions} or less.`;
  session.emit({ type: 'note', level: 'warning', code: 'beyond-context', message: `${message} ${advice}` });
}

/** Tokens of the longest sequence that begins with an example's prompt. */
function lengthOf(tokens: AnyTokens): number {
  const completion =
    'completion' in tokens
      ? tokens.completion.length
      : Math.max(tokens.chosen.length, tokens.rejected.length);
  return tokens.prompt.length + completion;
}

/** How many held-out rows have a prompt that is trained on, with a warning where any has; undefined without held-out prompts. */
function countTrainedOn<Example extends AnyExample>(
  { train, heldOut }: Pick<Splits<Example, unknown>, 'train' | 'heldOut'>,
  session: DataSession,
): number | undefined {
  const keysOf = ({ examples }: Split<Example, unknown>) =>
    examples.flatMap(({ prompt }) => (prompt === undefined ? [] : [promptKey(prompt)]));
  const asked = keysOf(heldOut);
  if (asked.length === 0) return undefined;
  const trained = new Set(keysOf(train));
  const count = asked.filter((key) => trained.has(key)).length;
  if (count > 0) session.emit(trainedOn(count, heldOut.examples.length));
  return count;
}

function trainedOn(count: number, rows: number): TrainEvent {
  return {
    type: 'note',
    level: 'warning',
    code: 'held-out-trained',
    message: `${count} of ${rows} held-out rows have a prompt that is trained on: what is measured on them says little of other prompts.`,
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

export function select<Example>(data: Dataset<Example>, indices: ArrayLike<number>): Dataset<Example> {
  return {
    ...data,
    examples: Array.from(indices, (index) => data.examples[index]!),
    locations: Array.from(indices, (index) => data.locations[index]!),
  };
}

/**
 * Rows as files or a hub data set, in memory or from a stream, all of which are read and checked alike; or a data set that
 * was loaded before.
 */
export type RowsInput<Example> = DataSource | Dataset<Example>;

/** Whatever rows are given as, as a data set. */
export async function readInput<Example>(
  load: (source: DataSource, reading: LoadPairsOptions) => Promise<Dataset<Example>>,
  input: RowsInput<Example>,
  reading: LoadPairsOptions,
): Promise<Dataset<Example>> {
  return isDataset(input) ? input : load(input, reading);
}

function isDataset<Example>(input: RowsInput<Example>): input is Dataset<Example> {
  return typeof input === 'object' && input !== null && 'examples' in input;
}

/** The parts of a data set that examples made in memory have in place of a file's; `source` goes into provenance and model card. */
export function memoryFacts(rows: readonly unknown[], hash: string, source = 'memory') {
  const locations = rows.map((_, index) => ({ file: source, line: index + 1 }));
  return { locations, badRows: [], format: 'generic', hash, source };
}
