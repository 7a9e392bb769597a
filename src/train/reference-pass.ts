import { join } from 'node:path';
import { mallowsCache } from '../checkpoints/files.ts';
import { hashValues, type TokenizedPair } from '../data/index.ts';
import { rounding } from '../engine/index.ts';
import type { PairScore } from '../runs/index.ts';
import { inMemoryOnly } from './identity.ts';
import type { TrainOptions } from './options.ts';
import { scorePairs } from './score.ts';
import type { Session } from './session.ts';
import type { TokenListeners } from './splits.ts';

/** Pairs whose rows are packed, scored and kept together. Which they are follows from the data alone, not from timing. */
const WINDOW = 1024;

type SplitName = keyof TokenListeners<never>;

/** Scores of both splits' pairs, each in the order of its pairs. */
export type ReferenceScores = Readonly<Record<SplitName, readonly PairScore[]>>;

/**
 * The reference pass, beside the tokenizer: pairs are listened for while later ones are still text, and a window of them is
 * scored as soon as it is whole. The session's model has to be the reference until the pass is over.
 */
export class ReferencePass {
  readonly listeners: TokenListeners<TokenizedPair> = {
    train: (pairs) => this.#add('train', pairs),
    heldOut: (pairs) => this.#add('heldOut', pairs),
  };
  readonly #session: Session;
  readonly #options: TrainOptions;
  readonly #pairs: Record<SplitName, number>;
  readonly #added: Record<SplitName, number> = { train: 0, heldOut: 0 };
  readonly #scores: Record<SplitName, PairScore[]> = { train: [], heldOut: [] };
  readonly #stop = new AbortController();
  /** Fires when the pass is stopped, and when the options' does. */
  readonly #signal: AbortSignal;
  #waiting: TokenizedPair[] = [];
  #split: SplitName = 'train';
  /** Settles when every window so far is scored. */
  #scored: Promise<void> = Promise.resolve();
  #hasBegun = false;
  #hasNoted = false;

  /** @param expected pairs of each split at most, for the watcher of progress until their number is known */
  constructor(session: Session, options: TrainOptions, expected: Readonly<Record<SplitName, number>>) {
    this.#session = session;
    this.#options = options;
    this.#pairs = { ...expected };
    const { signal } = options;
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  /**
   * The scores, once nothing more is to come.
   *
   * @throws DOMException AbortError when the options' signal fires; what was scored by then stays in the cache.
   */
  async finish(): Promise<ReferenceScores> {
    this.#flush();
    await this.#scored;
    return this.#scores;
  }

  /** Ends the pass after the row that it is at. What was scored by then stays in the cache. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#scored.catch(() => undefined);
  }

  #add(split: SplitName, pairs: readonly TokenizedPair[]): void {
    if (split !== this.#split) this.#flush();
    this.#split = split;
    this.#added[split] += pairs.length;
    this.#waiting.push(...pairs);
    while (this.#waiting.length >= WINDOW) this.#begin(this.#waiting.splice(0, WINDOW));
  }

  /** Ends a split: its number of pairs is known, and the rest of them is a window. */
  #flush(): void {
    this.#pairs[this.#split] = this.#added[this.#split];
    const window = this.#waiting.splice(0);
    if (window.length > 0) this.#begin(window);
  }

  #begin(window: readonly TokenizedPair[]): void {
    const split = this.#split;
    const scores = this.#scores[split];
    this.#scored = this.#scored.then(async () => {
      if (!this.#hasBegun) this.#session.phase('reference');
      this.#hasBegun = true;
      const before = scores.length;
      const tell = (done: number) =>
        this.#session.emit({ type: 'reference', done: before + done, total: this.#pairs[split] });
      scores.push(...(await this.#scoresOf(window, tell)));
    });
    // Whoever waits for the scores hears of it.
    this.#scored.catch(() => undefined);
  }

  /** What keeps one window's scores from being kept most likely keeps all. */
  #noteOnce(message: string): void {
    if (!this.#hasNoted) this.#session.note('warning', 'reference-cache', message);
    this.#hasNoted = true;
  }

  #scoresOf(window: readonly TokenizedPair[], onProgress: (done: number) => void): Promise<PairScore[]> {
    const { loaded, precision, weightsDType } = this.#session;
    const { referenceCache, maxLength = 0 } = this.#options;
    // Scores are for whoever loads the same files later. Of a model that is in none, nobody could.
    const directory = !inMemoryOnly(loaded.source) && (referenceCache ?? join(mallowsCache(), 'references'));
    return scorePairs(loaded.model, window, {
      asTraining: true,
      onProgress,
      notice: (message) => this.#noteOnce(message),
      signal: this.#signal,
      ...(directory !== false && {
        cache: {
          directory,
          key: {
            model: loaded.source.hash,
            data: hashValues(
              window.map(({ id, prompt, chosen, rejected }) => [id, [...prompt], [...chosen], [...rejected]]),
            ),
            maxLength,
            dtype:
              weightsDType === precision.dtype
                ? precision.dtype
                : `${weightsDType}, computed in ${precision.dtype}`,
            rounding: rounding(loaded.model.device),
          },
        },
      }),
    });
  }
}
