import { basename } from 'node:path';
import type { LoadedModel } from '../checkpoints/index.ts';
import {
  type BadRow,
  encodePrompt,
  isProblem,
  type LoadPairsOptions,
  loadJudged,
  loadLabelled,
  loadPairs,
  plainText,
  type TextOrChat,
  type TokenizedPair,
  tokenizePair,
} from '../data/index.ts';
import { DataError } from '../errors.ts';
import { generate } from '../generate/index.ts';
import { fitDispersion } from '../objectives/index.ts';
import { RandomStream } from '../stats/index.ts';
import { type PairScore, scorePairs } from '../train/index.ts';
import type { Claim } from './claims.ts';
import { type Agreement, agreementWith, dispersionClaims, type Shape, shapeOf } from './dispersion-claims.ts';
import { reviewOpening } from './reviews.ts';

/**
 * `mallows reproduce dispersion`: Figures 1 and 7, Tables 2 and 3 of MallowsPO. How w(x) is distributed over a data set
 * under a given model, and whether it has to do with how far people agree.
 *
 * Pairs (HH, …) are scored as they are. Reviews (IMDB) are no pairs: the prompt is a review's opening, and the two answers
 * are sampled from the model under study at temperature 1, as the paper's IMDB pairs are samples of its SFT model
 * (section 5.3). With `reviewAnswers: 'review'` the rest of the review stands for both answers, which costs no sampling
 * and measures text that people wrote. φ* is fitted on each data set by itself, so that each has mean 1.
 */

export type DataKind = 'reviews' | 'pairs' | 'judged';

export interface DispersionExperiment {
  readonly loaded: LoadedModel;
  readonly data: readonly { readonly label?: string; readonly source: string }[];
  /** Usable rows of each data set, drawn at random. Default: all. */
  readonly rows?: number;
  /** Default `sampled`. */
  readonly reviewAnswers?: 'sampled' | 'review';
  /** Words of a review that make its prompt. Default 8. */
  readonly openingWords?: number;
  /** Tokens of a sampled answer. Default 128. */
  readonly maxNewTokens?: number;
  /** Tokens of prompt and answer together. Default 512. */
  readonly maxLength?: number;
  readonly seed?: number;
  readonly reading?: LoadPairsOptions;
  readonly onProgress?: (progress: DispersionProgress) => void;
  readonly signal?: AbortSignal;
}

export interface DispersionProgress {
  readonly label: string;
  readonly phase: 'sampling' | 'scoring';
  readonly done: number;
  readonly total: number;
}

export interface PromptWeight {
  readonly id: string;
  readonly w: number;
  readonly prompt: string;
}

/** One data set under the model. */
export interface DispersionOfData {
  readonly label: string;
  readonly source: string;
  readonly kind: DataKind;
  readonly format: string;
  readonly badRows: number;
  readonly phiStar: number;
  readonly shape: Shape;
  readonly weights: readonly number[];
  /** Smallest w first. */
  readonly mostDispersed: readonly PromptWeight[];
  /** Largest w first. */
  readonly leastDispersed: readonly PromptWeight[];
  readonly agreement?: Agreement;
}

/** The content of report.json. */
export interface DispersionReport {
  readonly experiment: 'dispersion';
  readonly settings: {
    readonly model: string;
    readonly modelHash: string;
    readonly vocabularySize: number;
    readonly dtype: string;
    readonly rows: number | null;
    readonly reviewAnswers: 'sampled' | 'review';
    readonly openingWords: number;
    readonly maxNewTokens: number;
    readonly maxLength: number;
    readonly seed: number;
  };
  readonly data: readonly DispersionOfData[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}

/** Prompts listed at either end, as in the paper's tables. */
const LISTED = 10;

/** Runs the experiment. Deterministic for a seed. Throws `DataError` when a data set has no usable row. */
export async function runDispersion(options: DispersionExperiment): Promise<DispersionReport> {
  const { loaded, reading = {}, signal } = options;
  const settings = {
    model: loaded.source.spec,
    modelHash: loaded.source.hash,
    vocabularySize: loaded.config.vocabularySize,
    dtype: loaded.model.dtype,
    rows: options.rows ?? null,
    reviewAnswers: options.reviewAnswers ?? 'sampled',
    openingWords: options.openingWords ?? 8,
    maxNewTokens: options.maxNewTokens ?? 128,
    maxLength: options.maxLength ?? 512,
    seed: options.seed ?? 0,
  };
  const data: DispersionOfData[] = [];
  for (const { label: given, source } of options.data) {
    const label = given ?? basename(source).replace(/\.(jsonl|json|csv|tsv|parquet)(\.gz)?$/, '');
    const report = (phase: DispersionProgress['phase']) => (done: number, total: number) =>
      options.onProgress?.({ label, phase, done, total });
    const rowsRead = await readRows(source, loaded, reading);
    const { items, unusable } = await tokenize(rowsRead, loaded, settings, {
      progress: report('sampling'),
      signal,
    });
    const scores = await scorePairs(
      loaded.model,
      items.map(({ tokens }) => tokens),
      { onProgress: report('scoring'), ...(signal && { signal }) },
    );
    data.push(summarize(label, source, { ...rowsRead, items, unusable }, scores, settings));
  }
  return { experiment: 'dispersion', settings, data, ...dispersionClaims(data) };
}

interface Row {
  readonly id: string;
  readonly prompt: TextOrChat;
  /** Absent when the model has to write them. */
  readonly answers?: readonly [TextOrChat, TextOrChat];
  /** Text of a review after its opening. */
  readonly rest?: string;
  readonly votes?: { readonly first: number; readonly second: number; readonly tie: number };
}

interface RowsRead {
  readonly kind: DataKind;
  readonly format: string;
  readonly rows: readonly Row[];
  readonly badRows: readonly BadRow[];
}

interface Item extends Row {
  readonly tokens: TokenizedPair;
}

interface TokenizedRows {
  readonly items: readonly Item[];
  /** Rows that were passed over. */
  readonly unusable: number;
}

/** Reads whatever the columns say: judged answers, labelled texts, or preference pairs. */
async function readRows(source: string, loaded: LoadedModel, reading: LoadPairsOptions): Promise<RowsRead> {
  const options = { chatTemplate: loaded.tokenizer.chatTemplate !== undefined, ...reading };
  const judged = await orOtherLayout(() => loadJudged(source, options));
  if (judged !== undefined) {
    const rows = judged.examples.map(({ id, prompt, first, second, votes }) => {
      return { id, prompt, answers: [first, second] as const, votes };
    });
    return { kind: 'judged', format: judged.format, rows, badRows: judged.badRows };
  }
  const reviews = await orOtherLayout(() => loadLabelled(source, options));
  if (reviews !== undefined) {
    const rows = reviews.examples.map(({ id, text }) => ({ id, prompt: text, rest: text }));
    return { kind: 'reviews', format: reviews.format, rows, badRows: reviews.badRows };
  }
  const { pairs, badRows, format } = await loadPairs(source, options);
  const rows = pairs.map(({ id, prompt, chosen, rejected }) => {
    return { id, prompt, answers: [chosen, rejected] as const };
  });
  return { kind: 'pairs', format, rows, badRows };
}

/** A layout that does not fit is no error yet; anything else about the data is. */
async function orOtherLayout<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    const other = ['missing-columns', 'unknown-format'];
    if (error instanceof DataError && other.includes(error.code)) return undefined;
    throw error;
  }
}

/** The usable rows as tokens: all of them in order, or so many drawn at random, because files are often sorted. */
async function tokenize(
  read: RowsRead,
  loaded: LoadedModel,
  settings: DispersionReport['settings'],
  watch: { progress: (done: number, total: number) => void; signal: AbortSignal | undefined },
): Promise<TokenizedRows> {
  const rows = [...read.rows];
  if (settings.rows !== null) RandomStream.create(settings.seed, 'dispersion-rows').shuffle(rows);
  const wanted = settings.rows ?? rows.length;
  let unusable = 0;
  const collect = <T>(use: (row: Row) => T | undefined): T[] => {
    const used: T[] = [];
    for (const row of rows) {
      if (used.length === wanted) break;
      const one = use(row);
      if (one === undefined) unusable++;
      else used.push(one);
    }
    return used;
  };
  if (read.kind !== 'reviews') {
    const items = collect((row) => {
      const [chosen, rejected] = row.answers!;
      const tokens = tokenizePair({ ...row, chosen, rejected }, loaded.tokenizer, settings);
      return isProblem(tokens) ? undefined : { ...row, tokens };
    });
    return { items, unusable };
  }
  const opened = collect(({ id, rest }) => {
    const opening = reviewOpening(rest!, settings.openingWords);
    return opening && { id, ...opening };
  });
  const prompts = opened.map(({ prompt }) => encodePrompt(prompt, loaded.tokenizer));
  const answers =
    settings.reviewAnswers === 'sampled'
      ? await sampleAnswers(loaded, prompts, settings, watch)
      : opened.map(({ rest }, index) => {
          const tokens = loaded.tokenizer.encode(rest, { addSpecialTokens: false });
          const answer = tokens.slice(0, Math.max(0, settings.maxLength - prompts[index]!.length));
          return [answer, answer] as const;
        });
  const items = opened.flatMap(({ id, prompt }, index) => {
    const [chosen, rejected] = answers[index]!;
    if (chosen.length === 0 || rejected.length === 0) return [];
    const tokens = { id, prompt: prompts[index]!, chosen, rejected, movedTokens: 0, cutTokens: 0 };
    return [{ id, prompt, tokens }];
  });
  return { items, unusable: unusable + opened.length - items.length };
}

async function sampleAnswers(
  loaded: LoadedModel,
  prompts: readonly Int32Array[],
  { maxNewTokens, seed }: DispersionReport['settings'],
  { progress, signal }: { progress: (done: number, total: number) => void; signal: AbortSignal | undefined },
) {
  const sampled = await generate(loaded.model, prompts, {
    maxNewTokens,
    samplesPerPrompt: 2,
    seed,
    batchSize: 64,
    onProgress: ({ finished, total }) => progress(finished, total),
    ...(signal && { signal }),
  });
  return sampled.map(([first, second]) => [withStop(first!), withStop(second!)] as const);
}

/** The stop token is part of the answer: it is scored like any other. */
function withStop({ tokens, stopToken }: { tokens: Int32Array; stopToken?: number }): Int32Array {
  return stopToken === undefined ? tokens : Int32Array.from([...tokens, stopToken]);
}

function summarize(
  label: string,
  source: string,
  { kind, format, badRows, items, unusable }: RowsRead & TokenizedRows,
  scores: readonly PairScore[],
  { vocabularySize, seed }: DispersionReport['settings'],
): DispersionOfData {
  const fitted = fitDispersion(
    scores.map(({ id, chosen, rejected }) => ({
      id,
      chosenEntropy: chosen.entropy,
      rejectedEntropy: rejected.entropy,
    })),
    { source: 'entropy', vocabularySize },
  );
  const weights = [...fitted.weights];
  const ranked = items
    .map(({ id, prompt }, index) => ({ id, w: weights[index]!, prompt: lastWords(prompt) }))
    .sort((a, b) => a.w - b.w);
  return {
    label,
    source,
    kind,
    format,
    badRows: badRows.length + unusable,
    phiStar: fitted.model.phiStar,
    shape: shapeOf(weights, seed),
    weights,
    mostDispersed: distinctPrompts(ranked),
    leastDispersed: distinctPrompts([...ranked].reverse()),
    ...(kind === 'judged' && {
      agreement: agreementWith(
        weights,
        items.map(({ votes }) => votes!),
        scores.map(({ chosen, rejected }) => (chosen.tokens + rejected.tokens) / 2),
        seed,
      ),
    }),
  };
}

/** A prompt with many pairs is listed once. */
function distinctPrompts(ranked: readonly PromptWeight[]): PromptWeight[] {
  const seen = new Set<string>();
  return ranked.filter(({ prompt }) => !seen.has(prompt) && seen.add(prompt).size <= LISTED).slice(0, LISTED);
}

/** What was asked last: the prompt without the turns that lead to it. */
function lastWords(prompt: TextOrChat): string {
  if (typeof prompt !== 'string') {
    return prompt.findLast(({ role }) => role === 'user')?.content ?? plainText(prompt);
  }
  const turn = prompt.lastIndexOf('\n\nHuman: ');
  return turn < 0 ? prompt : prompt.slice(turn + 9).replace(/\s*Assistant:\s*$/, '');
}
