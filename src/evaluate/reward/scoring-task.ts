import { packByLength } from '../../data/pack.ts';
import { tidy } from '../../engine/index.ts';
import type { SequenceClassifier } from '../../models/index.ts';
import type { PassOptions, RowPass } from '../../train/pass.ts';
import type { ItemResults, LoopTask } from '../../train/task.ts';
import { type ScoredRow, scorePass } from './score-pass.ts';

/** What a sequence classifier learns from: items that pack into rows, and a loss that is a function of their scores. */
export abstract class ScoringTask<Item extends { readonly id: string }, Result extends ItemResults>
  implements LoopTask<Result>
{
  readonly #model: SequenceClassifier;
  readonly #items: readonly Item[];

  constructor(model: SequenceClassifier, items: readonly Item[]) {
    this.#model = model;
    this.#items = items;
  }

  get items(): number {
    return this.#items.length;
  }

  id(item: number): string {
    return this.at(item).id;
  }

  weight(): number {
    return 1;
  }

  abstract tokens(item: number): number;
  abstract metrics(results: readonly Result[]): Record<string, number>;
  protected abstract pack(items: readonly Item[], padTokenId: number | undefined): ScoredRow;
  /** Losses and their slopes from the scores of a row. */
  protected abstract lossOf(items: readonly number[], scores: Float64Array): Result;

  protected at(item: number): Item {
    return this.#items[item]!;
  }

  /** The training pass, for `runLoop`. */
  rowPass({ recompute = false }: Pick<PassOptions, 'recompute'> = {}): RowPass<Result> {
    return ({ items, totalWeight, gradients, check }) =>
      tidy(() => {
        const scored = this.#rowOf(items);
        const pass = scorePass(this.#model, scored, { gradients: true, recompute });
        const result = this.lossOf(items, pass.scores);
        check(result);
        pass.backward(
          result.slopes.map((slope) => slope / totalWeight),
          gradients,
        );
        return { result, tokens: scored.row.tokens.length };
      });
  }

  /** Losses of some items, without gradients. */
  evaluate(items: readonly number[]): Result {
    return tidy(() =>
      this.lossOf(items, scorePass(this.#model, this.#rowOf(items), { gradients: false }).scores),
    );
  }

  /**
   * Losses of all items, rows packed from items of similar length.
   *
   * @param signal stops between two rows by throwing its reason
   */
  async evaluateAll(signal?: AbortSignal): Promise<Result[]> {
    const results: Result[] = [];
    for (const items of packByLength(this.#items.map((_, item) => this.tokens(item)))) {
      results.push(this.evaluate(items));
      await new Promise(setImmediate);
      signal?.throwIfAborted();
    }
    return results;
  }

  #rowOf(items: readonly number[]): ScoredRow {
    return this.pack(
      items.map((item) => this.at(item)),
      this.#model.config.padTokenId,
    );
  }
}
