import type { PairDataset, PreferencePair } from './contract.ts';
import { RowError } from './fields.ts';
import type { PairDraft } from './formats/contract.ts';
import { asChat, asText } from './formats/dialogue.ts';
import { PAIR_FORMATS } from './formats/index.ts';
import { canonicalJson } from './hash.ts';
import { type ReadOptions, readExamples } from './read.ts';
import { type DataSource, type HubFetcher, openSource } from './sources/index.ts';
import { excerpt, plainText } from './text.ts';

/**
 * Whether pairs are chat messages, rendered by the model's template, or text, tokenised as it stands. `auto` leaves
 * messages and text as the data has them; dialogues (HH transcripts, SHP, …) become messages.
 */
export type PairStyle = 'auto' | 'chat' | 'text';

export interface LoadPairsOptions extends ReadOptions {
  readonly style?: PairStyle;
  /** Whether the model has a chat template. Without one, `auto` means `text`. Default true. */
  readonly chatTemplate?: boolean;
  /** Access to `hf:owner/name`. Default: the hub that `HF_ENDPOINT` names. */
  readonly hub?: HubFetcher;
}

/**
 * Loads preference pairs from files, the hub, or rows of a program: an array, a generator, a database's cursor. All go
 * through the same layouts and checks. Bad rows are left out, counted and listed in `badRows`.
 *
 *     const data = await loadPairs('pairs.jsonl.gz');
 *     console.log(data.format, data.examples.length, summarizeReasons(data.badRows));
 *
 *     const rows = client.query(new QueryStream('SELECT prompt, response_a, response_b, winner FROM choices'));
 *     const logged = await loadPairs(rows, { style: 'chat' });
 *
 * Throws `DataError` when nothing is usable, when ids repeat, or at the first bad row when `strict`.
 */
export async function loadPairs(source: DataSource, options: LoadPairsOptions = {}): Promise<PairDataset> {
  const style = resolveStyle(options);
  const opened = await openSource(source, options.hub);
  const finish = (draft: PairDraft, id: string) => finishPair(draft, id, style);
  const dialogue = style === 'text' ? 'text' : 'chat';
  const reading = { formats: PAIR_FORMATS, dialogue, finish } as const;
  return readExamples(opened, reading, options);
}

/** `auto` with a model that has no chat template is `text`. */
export function resolveStyle({ style = 'auto', chatTemplate = true }: LoadPairsOptions): PairStyle {
  return style === 'auto' && !chatTemplate ? 'text' : style;
}

function finishPair({ part: _, ...draft }: PairDraft, id: string, style: PairStyle): PreferencePair {
  for (const side of ['chosen', 'rejected'] as const) {
    if (plainText(draft[side]).trim() === '') throw new RowError('empty-completion', `"${side}" is empty`);
  }
  if (canonicalJson(draft.chosen) === canonicalJson(draft.rejected)) {
    throw new RowError(
      'identical-completions',
      `both completions read ${excerpt(plainText(draft.chosen), 80)}`,
    );
  }
  const texts = style === 'chat' ? asChat(draft) : style === 'text' ? asText(draft) : undefined;
  const { id: _own, ...rest } = draft;
  return { id, ...rest, ...texts };
}

/** Difference of the ratings of chosen and rejected, where the data states them (`meta.score_chosen`, `…_rejected`). */
export function scoreGap(pair: PreferencePair): number | undefined {
  const { score_chosen: chosen, score_rejected: rejected } = pair.meta ?? {};
  return typeof chosen === 'number' && typeof rejected === 'number' ? chosen - rejected : undefined;
}
