import type { LoadedModel } from '../../checkpoints/index.ts';
import { encodePrompt, isProblem, type TokenizedPair, tokenizePair } from '../../data/index.ts';
import { generate } from '../../generate/index.ts';
import { RandomStream } from '../../stats/index.ts';
import { reviewOpening } from '../shared/reviews.ts';
import type { DispersionReport } from './contract.ts';
import type { Row, RowsRead } from './rows.ts';

export interface Item extends Row {
  readonly tokens: TokenizedPair;
}

export interface TokenizedRows {
  readonly items: readonly Item[];
  /** Rows that were passed over. */
  readonly unusable: number;
}

/** The usable rows as tokens: all of them in order, or so many drawn at random, because files are often sorted. */
export async function tokenizeRows(
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
