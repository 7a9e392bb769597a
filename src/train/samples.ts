import type { TextOrChat } from '../data/contract.ts';
import { generate, stopTokensFor } from '../generate/index.ts';
import type { CausalLM } from '../models/contract.ts';
import type { RunDirectory, Sample } from '../runs/index.ts';
import { RandomStream } from '../stats/index.ts';
import type { Tokenizer } from '../text/index.ts';

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
    const written = run?.records('samples');
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
    run?.writeRecords('samples', this.#samples);
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
    run?.writeRecords('samples', this.#samples);
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
 * `count` of the prompts that differ and can be answered, in their order. Which follows from `seed`, not from their places:
 * data often come sorted by where they are from. A smaller count draws some of those that a larger one does.
 */
export function drawPrompts<T extends { readonly tokens: Int32Array }>(
  prompts: readonly T[],
  count: number,
  seed: number,
): T[] {
  const distinct = distinctPrompts(prompts);
  const order = RandomStream.create(seed, 'kl-prompts').permutation(distinct.length);
  return Array.from(order.slice(0, count).sort(), (index) => distinct[index]!);
}

/**
 * Best-of-n data repeat a prompt many times in a row, and a model without BOS gives an empty prompt no token to go on from.
 */
function distinctPrompts<T extends { readonly tokens: Int32Array }>(prompts: readonly T[]): T[] {
  const first = new Map<string, T>();
  for (const prompt of prompts) {
    const key = prompt.tokens.join();
    if (prompt.tokens.length > 0 && !first.has(key)) first.set(key, prompt);
  }
  return [...first.values()];
}
