import { setImmediate } from 'node:timers/promises';
import { noGrad, ops, type Tensor, tensor, tidy } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { KeyValueCache } from '../models/attention/cached.ts';
import { contextNotice } from '../models/context-length.ts';
import type { AttentionPlan, CausalLM, ModelConfig } from '../models/contract.ts';
import { packWeights } from '../models/packed-weights.ts';
import { RandomStream } from '../stats/index.ts';
import { createSampler, type Sampler, type SamplingOptions } from './sampler.ts';

export interface GenerateOptions extends SamplingOptions {
  readonly maxNewTokens: number;
  /** Tokens that end a completion. Default: the model's own; chats may need another too (`stopTokensFor`). */
  readonly stopTokenIds?: readonly number[];
  /** Completions for each prompt; they share the prompt's prefill. Default 1. */
  readonly samplesPerPrompt?: number;
  /** Every (seed, prompt index, sample index) has its own random stream. Default 0. */
  readonly seed?: number;
  /** Index of the first prompt, where these are a part of more. Default 0. */
  readonly firstPrompt?: number;
  /** Sequences decoded together. Default 16. */
  readonly batchSize?: number;
  /** Called after every step, e.g. for a progress bar. */
  readonly onProgress?: (progress: GenerateProgress) => void;
  /** Told of prompts, and at the end of answers, that are longer than the context that the model was made for. */
  readonly notice?: (message: string) => void;
  /** Stops between two steps by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface GenerateProgress {
  readonly finished: number;
  readonly total: number;
  readonly newTokens: number;
}

export interface Completion {
  /** Generated ids, without the token that stopped it. */
  readonly tokens: Int32Array;
  /** Log-probability of each of `tokens` under the model (temperature 1, nothing filtered), nats. */
  readonly logps: Float64Array;
  readonly finish: 'stop' | 'length';
  /** The token that stopped it. */
  readonly stopToken?: number;
}

/**
 * Continues each prompt, many sequences at a time: prompts enter packed and once for all their samples, a step
 * advances every live sequence by one token, a finished one makes room for the next.
 *
 * A sequence's random numbers depend on its seed, prompt index and sample index alone. Its logits depend on the batch
 * through rounding, so the same choice follows except where two tokens are equal to about seven digits.
 *
 * @returns completions by prompt and sample.
 * @throws UsageError for empty or over-long prompts, `model-in-use` where someone else trains the model; EngineError
 * `nan-logits`.
 */
export async function generate(
  model: CausalLM,
  prompts: readonly Int32Array[],
  options: GenerateOptions,
): Promise<Completion[][]> {
  checkPrompts(model, prompts, options);
  const tell = (message: string | undefined) => {
    if (message !== undefined) options.notice?.(message);
  };
  tell(contextNotice(lengthsOf(prompts), 'prompts', model.config));
  const samples = options.samplesPerPrompt ?? 1;
  const results: Completion[][] = prompts.map(() => []);
  const waiting = prompts.flatMap((tokens, prompt) =>
    Array.from({ length: samples }, (_, sample) => ({ tokens, prompt, sample })),
  );
  const unpack = packWeights(model, {
    tokens: prompts.reduce((sum, { length }) => sum + length, 0),
    steps: options.maxNewTokens,
  });
  const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
  const batchSize = Math.min(options.batchSize ?? 16, waiting.length);
  const capacity = longest + Math.min(options.maxNewTokens, 64);
  try {
    await decode(model, waiting, { ...options, batchSize, capacity }, (sequence) => {
      results[sequence.prompt]![sequence.sample] = sequence.completion();
    });
  } finally {
    unpack();
  }
  tell(outgrownNotice(prompts, results, model.config));
  return results;
}

/** Takes all requests through the model, as many at a time as fit into a batch. */
async function decode(
  model: CausalLM,
  waiting: Request[],
  options: RunOptions,
  onFinish: (sequence: Sequence) => void,
): Promise<void> {
  const total = waiting.length;
  const run = new GenerationRun(model, options, onFinish);
  try {
    while (waiting.length > 0 || run.live > 0) {
      options.signal?.throwIfAborted();
      if (waiting.length > 0 && run.hasRoom(waiting.length)) run.admit(waiting);
      if (run.live > 0) run.step();
      const unfinished = waiting.length + run.live;
      options.onProgress?.({ finished: total - unfinished, total, newTokens: run.newTokens });
      await setImmediate(); // lets timers, signals and servers run between steps
    }
  } finally {
    run.dispose();
  }
}

/**
 * Says how many answers went on past the context that the model was made for; undefined where none did. Those to prompts that
 * are longer by themselves are not counted.
 *
 * @param answers of each prompt, as `generate` returns them
 */
export function outgrownNotice(
  prompts: readonly Int32Array[],
  answers: readonly (readonly { readonly tokens: ArrayLike<number> }[])[],
  config: ModelConfig,
): string | undefined {
  const lengths = prompts.flatMap(({ length: asked }, prompt) =>
    asked > config.maxPositions ? [] : answers[prompt]!.map(({ tokens }) => asked + tokens.length),
  );
  return contextNotice(lengths, 'answers with their prompts', config);
}

function lengthsOf(prompts: readonly Int32Array[]): number[] {
  return prompts.map(({ length }) => length);
}

interface Request {
  readonly tokens: Int32Array;
  readonly prompt: number;
  readonly sample: number;
}

interface RunOptions extends GenerateOptions {
  readonly batchSize: number;
  /** Positions that a sequence has room for at first. */
  readonly capacity: number;
}

/** Prompt tokens that enter in one prefill pass: bounds its memory. */
const PREFILL_TOKENS = 4096;

/** The sequences that are being decoded, in the order of their cache slots. */
class GenerationRun {
  newTokens = 0;
  readonly #model: CausalLM;
  readonly #options: GenerateOptions;
  readonly #sampler: Sampler;
  readonly #cache: KeyValueCache;
  readonly #batchSize: number;
  readonly #sequences: Sequence[] = [];
  readonly #stopTokens: ReadonlySet<number>;
  readonly #onFinish: (sequence: Sequence) => void;

  constructor(model: CausalLM, options: RunOptions, onFinish: (sequence: Sequence) => void) {
    this.#model = model;
    this.#options = options;
    this.#sampler = createSampler(options);
    this.#batchSize = options.batchSize;
    this.#cache = new KeyValueCache(model, this.#batchSize, options.capacity);
    this.#stopTokens = new Set(options.stopTokenIds ?? model.config.eosTokenIds);
    this.#onFinish = onFinish;
  }

  get live(): number {
    return this.#sequences.length;
  }

  /** Admitting a quarter of the batch at a time keeps prefills packed without leaving slots idle for long. */
  hasRoom(waiting: number): boolean {
    return this.#cache.freeSlots >= Math.min(waiting, Math.ceil(this.#batchSize / 4));
  }

  /** Takes requests from the front of `waiting` into free slots and chooses their first tokens. */
  admit(waiting: Request[]): void {
    const groups: { tokens: Int32Array; requests: Request[] }[] = [];
    let promptTokens = 0;
    for (let taken = 0; taken < this.#cache.freeSlots && waiting.length > 0; taken++) {
      const next = waiting[0]!;
      const group = groups.at(-1);
      if (group !== undefined && group.requests[0]!.prompt === next.prompt) {
        group.requests.push(next);
      } else {
        if (promptTokens > 0 && promptTokens + next.tokens.length > PREFILL_TOKENS) break;
        promptTokens += next.tokens.length;
        groups.push({ tokens: next.tokens, requests: [next] });
      }
      waiting.shift();
    }
    const admitted: Sequence[] = [];
    const firstRows: number[] = [];
    const prefill = groups.map(({ tokens, requests }, group) => {
      for (const request of requests) {
        admitted.push(new Sequence(request, this.#options));
        firstRows.push(group);
      }
      return { length: tokens.length, slots: this.#cache.claim(tokens.length, requests.length) };
    });
    const tokens = groups.flatMap((group) => [...group.tokens]);
    const positions = groups.flatMap((group) => Array.from(group.tokens, (_, position) => position));
    let end = -1;
    const lastRows = groups.map((group) => {
      end += group.tokens.length;
      return end;
    });
    this.#sequences.push(...admitted);
    this.#advance(admitted, () => {
      const logits = this.#logits(this.#forward(tokens, positions, this.#cache.prefill(prefill), lastRows));
      return groups.length === admitted.length ? logits : ops.indexSelect(logits, 0, this.#index(firstRows));
    });
  }

  /** One more token for every live sequence. */
  step(): void {
    const tokens = this.#sequences.map((sequence) => sequence.lastToken);
    const positions = this.#sequences.map((_, slot) => this.#cache.lengthOf(slot));
    this.#advance([...this.#sequences], () =>
      this.#logits(this.#forward(tokens, positions, this.#cache.decode())),
    );
  }

  dispose(): void {
    this.#cache.dispose();
  }

  #advance(sequences: readonly Sequence[], logits: () => Tensor): void {
    const uniforms = sequences.map((sequence) => (this.#options.greedy ? 0 : sequence.random.uniform()));
    const histories = sequences.map((sequence) => sequence.history);
    const { ids, logps } = noGrad(() => tidy(() => this.#sampler.choose(logits(), uniforms, histories)));
    for (const [index, sequence] of sequences.entries()) {
      sequence.append(ids[index]!, logps[index]!, this.#stopTokens.has(ids[index]!));
      this.newTokens += 1;
    }
    this.#releaseFinished();
  }

  #releaseFinished(): void {
    for (let slot = this.#sequences.length - 1; slot >= 0; slot--) {
      const sequence = this.#sequences[slot]!;
      if (!sequence.stopped && sequence.length < this.#limit(sequence)) continue;
      this.#onFinish(sequence);
      const moved = this.#cache.release(slot);
      this.#sequences[slot] = this.#sequences[moved]!;
      this.#sequences.pop();
    }
  }

  #limit(sequence: Sequence): number {
    const { learnedPositions, maxPositions } = this.#model.config;
    const { maxNewTokens } = this.#options;
    return learnedPositions ? Math.min(maxNewTokens, maxPositions - sequence.promptLength + 1) : maxNewTokens;
  }

  /** Hidden states before the final norm, `[T, width]`, or `[rows, width]` where only some are read. */
  #forward(
    tokens: readonly number[],
    positions: readonly number[],
    plan: AttentionPlan,
    rows?: readonly number[],
  ): Tensor {
    const model = this.#model;
    const read = rows && this.#index(rows);
    const at = this.#index(positions);
    const context = model.context(at, plan);
    let hidden = model.embed(this.#index(tokens), at);
    for (const [index, layer] of model.layers.entries()) {
      const input = hidden;
      const last = index === model.layers.length - 1;
      hidden = tidy(() => layer.forward(input, context, last ? read : undefined));
      input.dispose();
    }
    return hidden;
  }

  #logits(rows: Tensor): Tensor {
    return this.#model.head.forward(this.#model.finalNorm(rows));
  }

  #index(values: readonly number[]): Tensor {
    return tensor(Int32Array.from(values), { dtype: 'int64', device: this.#model.device });
  }
}

class Sequence {
  readonly prompt: number;
  readonly sample: number;
  readonly promptLength: number;
  readonly random: RandomStream;
  /** Every token so far, prompt included. */
  readonly history: number[];
  readonly #logps: number[] = [];
  #stopToken: number | undefined = undefined;

  constructor({ tokens, prompt, sample }: Request, { seed = 0, firstPrompt = 0 }: GenerateOptions) {
    this.prompt = prompt;
    this.sample = sample;
    this.promptLength = tokens.length;
    this.history = [...tokens];
    this.random = RandomStream.create(seed, `generate/${firstPrompt + prompt}/${sample}`);
  }

  get lastToken(): number {
    return this.history.at(-1)!;
  }

  /** Tokens generated so far. */
  get length(): number {
    return this.history.length - this.promptLength;
  }

  get stopped(): boolean {
    return this.#stopToken !== undefined;
  }

  append(id: number, logp: number, stops: boolean): void {
    if (stops) {
      this.#stopToken = id;
      return;
    }
    this.history.push(id);
    this.#logps.push(logp);
  }

  completion(): Completion {
    return {
      tokens: Int32Array.from(this.history.slice(this.promptLength)),
      logps: Float64Array.from(this.#logps),
      finish: this.stopped ? 'stop' : 'length',
      ...(this.#stopToken === undefined ? {} : { stopToken: this.#stopToken }),
    };
  }
}

/** What `generate` refuses, found without generating. */
export function checkPrompts(
  model: CausalLM,
  prompts: readonly Int32Array[],
  options: GenerateOptions,
): void {
  const positive = (name: string, value: number) => {
    if (Number.isInteger(value) && value > 0) return;
    throw new UsageError('invalid-generate-option', `${name} must be a whole number above 0, got ${value}.`);
  };
  positive('maxNewTokens', options.maxNewTokens);
  positive('samplesPerPrompt', options.samplesPerPrompt ?? 1);
  positive('batchSize', options.batchSize ?? 16);
  const { vocabularySize, learnedPositions, maxPositions } = model.config;
  for (const [index, tokens] of prompts.entries()) {
    if (tokens.length === 0) {
      throw new UsageError('empty-prompt', `Prompt ${index} has no tokens; generation needs at least one.`, {
        hint: 'Start with the beginning-of-text token.',
      });
    }
    const outside = tokens.find((id) => id < 0 || id >= vocabularySize);
    if (outside !== undefined) {
      throw new UsageError(
        'token-out-of-range',
        `Prompt ${index} holds token ${outside}, outside the model's vocabulary of ${vocabularySize}.`,
        { hint: "Use the model's own tokenizer." },
      );
    }
    if (learnedPositions && tokens.length > maxPositions) {
      throw new UsageError(
        'sequence-too-long',
        `Prompt ${index} has ${tokens.length} tokens; the model has ${maxPositions} learned positions.`,
      );
    }
  }
}
