import type { BadRow, TextOrChat, TokenizeDatasetOptions, Tokenized } from '../data/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { TrainEvent, TrainPhase } from './contract.ts';
import { defined } from './defined.ts';
import { holdOut } from './holdout.ts';
import type { TrainOptions } from './options.ts';

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

/** What reading data needs of a session: whose tokens, whom to tell, and the seed that holds rows out. */
export interface DataSession {
  readonly loaded: { readonly tokenizer: Tokenizer };
  readonly seed: number;
  phase(phase: TrainPhase): void;
  emit(event: TrainEvent): void;
}

/** What pairs and sequences differ in: how an input becomes a data set, and a data set tokens. */
export interface SplitReader<Input, Data extends ReadData, Example, Tokens> {
  read(input: Input, reading: NonNullable<TrainOptions['reading']>): Promise<Data>;
  tokenize(
    data: Data,
    tokenizer: Tokenizer,
    options: TokenizeDatasetOptions,
  ): Promise<Tokenized<Example, Tokens>>;
}

interface ReadData {
  readonly source: string;
  readonly format: string;
  readonly hash: string;
  readonly badRows: readonly BadRow[];
}

/** Where examples come from, and how they are read. */
export interface SplitOptions<Input>
  extends Pick<TrainOptions, 'reading' | 'maxLength' | 'evalFraction' | 'evaluation'> {
  readonly data: Input;
  /** Held-out examples. Default: `evalFraction` of the data. */
  readonly evalData?: Input;
}

const DEFAULT_EVAL_FRACTION = 0.1;

/** Loads and tokenises training and held-out examples, telling the observer what was left out and why. */
export async function readSplits<
  Input,
  Data extends ReadData,
  Example extends { readonly prompt?: TextOrChat },
  Tokens,
>(
  reader: SplitReader<Input, Data, Example, Tokens>,
  options: SplitOptions<Input>,
  session: DataSession,
): Promise<Splits<Example, Tokens>> {
  session.phase('tokenize');
  const most = options.evaluation?.maxPairs ?? Number.POSITIVE_INFINITY;
  const all = await readSplit(reader, options.data, 'train', options, session);
  if (options.evalData !== undefined) {
    const heldOut = await readSplit(reader, options.evalData, 'eval', options, session);
    const first = [...heldOut.split.examples.keys()].slice(0, most);
    return {
      train: all.split,
      heldOut: select(heldOut.split, first),
      facts: { train: all.facts, eval: heldOut.facts },
    };
  }
  const fraction = options.evalFraction ?? DEFAULT_EVAL_FRACTION;
  const { train, heldOut } = holdOut(all.split.examples, fraction, session.seed);
  return {
    train: select(all.split, train),
    heldOut: select(all.split, heldOut.slice(0, most)),
    facts: { train: all.facts, eval: { heldOutFraction: fraction, rows: heldOut.length } },
  };
}

async function readSplit<Input, Data extends ReadData, Example, Tokens>(
  reader: SplitReader<Input, Data, Example, Tokens>,
  input: Input,
  name: 'train' | 'eval',
  options: SplitOptions<Input>,
  session: DataSession,
) {
  const { tokenizer } = session.loaded;
  const chatTemplate = tokenizer.chatTemplate !== undefined;
  const data = await reader.read(input, { chatTemplate, ...options.reading });
  const { examples, tokens, badRows, cut, moved } = await reader.tokenize(
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
  const facts = { source, format, hash, rows: examples.length, badRows: bad.length, cut, moved };
  return { split: { examples, tokens }, facts };
}

function select<Example, Tokens>(
  { examples, tokens }: Split<Example, Tokens>,
  indices: readonly number[],
): Split<Example, Tokens> {
  return {
    examples: indices.map((index) => examples[index]!),
    tokens: indices.map((index) => tokens[index]!),
  };
}

/** The parts of a data set that rows in memory have in place of a file's; `source` goes into provenance and model card. */
export function memoryFacts(rows: readonly unknown[], hash: string, source = 'memory') {
  const locations = rows.map((_, index) => ({ file: source, line: index + 1 }));
  return { locations, badRows: [], format: 'generic', hash, source };
}
