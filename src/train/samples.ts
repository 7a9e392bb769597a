import type { TextOrChat } from '../data/contract.ts';
import { generate, stopTokensFor } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import type { RunDirectory } from '../runs/index.ts';
import { RandomStream } from '../stats/index.ts';
import type { Tokenizer } from '../text/index.ts';

/** A held-out prompt with answers from before and after training: a line of `samples.jsonl`. */
export interface Sample {
  readonly id: string;
  readonly prompt: TextOrChat;
  /** The data's preferred answer, to compare with. */
  readonly chosen: TextOrChat;
  readonly before: string;
  /** Absent while training goes on. */
  readonly after?: string;
}

export interface SamplePrompt {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly chosen: TextOrChat;
  readonly tokens: Int32Array;
}

/** Greedy answers before and after training: what people look at first, and where repetition shows. */
export class SampleSheet {
  readonly #model: CausalLM;
  readonly #tokenizer: Tokenizer;
  readonly #prompts: readonly SamplePrompt[];
  readonly #maxNewTokens: number;
  #samples: readonly Sample[] = [];

  constructor(model: CausalLM, tokenizer: Tokenizer, prompts: readonly SamplePrompt[], maxNewTokens: number) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#prompts = prompts;
    this.#maxNewTokens = maxNewTokens;
  }

  /**
   * Call while the model is still the base model. A resumed run reads what the first session wrote.
   *
   * @param signal stops it by throwing the signal's reason
   */
  async before(run: RunDirectory | undefined, signal?: AbortSignal): Promise<void> {
    if (this.#prompts.length === 0) return;
    const written = run?.readRecords('samples.jsonl') as readonly Sample[] | undefined;
    if (
      written !== undefined &&
      written.map(({ id }) => id).join() === this.#prompts.map(({ id }) => id).join()
    ) {
      this.#samples = written;
      return;
    }
    const answers = await this.#answer(signal);
    this.#samples = this.#prompts.map(({ id, prompt, chosen }, index) => ({
      id,
      prompt,
      chosen,
      before: answers[index]!,
    }));
    run?.writeRecords('samples.jsonl', this.#samples);
  }

  /** Undefined where `signal` stopped it. */
  async after(run: RunDirectory | undefined, signal?: AbortSignal): Promise<readonly Sample[] | undefined> {
    if (this.#prompts.length === 0) return [];
    const answers = await this.#answer(signal).catch((error: unknown) => {
      if (signal?.aborted === true && error === signal.reason) return undefined;
      throw error;
    });
    if (answers === undefined) return undefined;
    this.#samples = this.#samples.map((sample, index) => ({ ...sample, after: answers[index]! }));
    run?.writeRecords('samples.jsonl', this.#samples);
    return this.#samples;
  }

  async #answer(signal: AbortSignal | undefined): Promise<string[]> {
    const prompts = this.#prompts.map(({ tokens }) => tokens);
    const completions = await generate(this.#model, prompts, {
      greedy: true,
      maxNewTokens: this.#maxNewTokens,
      ...(signal && { signal }),
      stopTokenIds: stopTokensFor(
        { model: this.#model, tokenizer: this.#tokenizer },
        this.#prompts.map(({ prompt }) => prompt),
      ),
    });
    return completions.map(([completion]) =>
      this.#tokenizer.decode(completion!.tokens, { skipSpecialTokens: true }),
    );
  }
}

/**
 * The first `count` prompts that differ (best-of-n data repeat a prompt many times in a row) and that can be answered: a
 * model without BOS gives an empty prompt no token to go on from.
 */
export function firstPrompts<T extends { readonly tokens: Int32Array }>(
  prompts: readonly T[],
  count: number,
): T[] {
  const seen = new Set<string>();
  const chosen: T[] = [];
  for (const prompt of prompts) {
    if (chosen.length >= count) break;
    if (prompt.tokens.length === 0) continue;
    const key = prompt.tokens.join();
    if (!seen.has(key)) chosen.push(prompt);
    seen.add(key);
  }
  return chosen;
}

/**
 * `count` of the prompts that differ and can be answered, in their order. Which follows from `seed`, not from their places:
 * data often come sorted by where they are from.
 */
export function drawPrompts<T extends { readonly tokens: Int32Array }>(
  prompts: readonly T[],
  count: number,
  seed: number,
): T[] {
  const distinct = firstPrompts(prompts, prompts.length);
  const order = RandomStream.create(seed, 'kl-prompts').permutation(distinct.length);
  return Array.from(order.slice(0, count).sort(), (index) => distinct[index]!);
}
