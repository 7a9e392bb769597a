import { basename } from 'node:path';
import { distinctPrompts, lastTurn } from '../../data/index.ts';
import { fitDispersion } from '../../objectives/index.ts';
import type { PairScore } from '../../runs/index.ts';
import { scorePairs } from '../../train/index.ts';
import { dispersionClaims } from './claims.ts';
import type {
  DispersionExperiment,
  DispersionOfData,
  DispersionProgress,
  DispersionReport,
} from './contract.ts';
import { agreementWith, shapeOf } from './measures.ts';
import { type RowsRead, readRows } from './rows.ts';
import { type TokenizedRows, tokenizeRows } from './tokens.ts';

/**
 * `mallows reproduce dispersion`: Figures 1 and 7, Tables 2 and 3 of MallowsPO. How w(x) is distributed over a data set
 * under a given model, and whether it has to do with how far people agree.
 *
 * Pairs (HH, …) are scored as they are. Reviews (IMDB) are no pairs: the prompt is a review's opening, and the two answers
 * are sampled from the model under study at temperature 1, as the paper's IMDB pairs are samples of its SFT model
 * (section 5.3). With `reviewAnswers: 'review'` the rest of the review stands for both answers, which costs no sampling
 * and measures text that people wrote. φ* is fitted on each data set by itself, so that each has mean 1.
 */

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
    const { items, unusable } = await tokenizeRows(rowsRead, loaded, settings, {
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
    .map(({ id, prompt }, index) => ({ id, w: weights[index]!, prompt: lastTurn(prompt) }))
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
    // A prompt with many pairs is listed once.
    mostDispersed: distinctPrompts(ranked).slice(0, LISTED),
    leastDispersed: distinctPrompts(ranked.toReversed()).slice(0, LISTED),
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
