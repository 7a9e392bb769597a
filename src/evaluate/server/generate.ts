import type { PromptExample, TextOrChat } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import { settleAll } from '../settle-all.ts';
import { type ChatServer, RequestRefused } from './client.ts';
import { type Completion, chatCompletion, textCompletion } from './completions.ts';

export interface ServerGeneration {
  readonly model: string;
  /** Wraps text prompts into one user message; chat prompts always go to the chat endpoint. */
  readonly chat: boolean;
  readonly maxNewTokens: number;
  /** Greedy decoding: temperature 0, whatever the server's defaults. */
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topP?: number;
  /** Not part of OpenAI's interface, but of vLLM's and llama.cpp's. */
  readonly topK?: number;
  readonly seed?: number;
  /** Completions for each prompt. Default 1. */
  readonly samplesPerPrompt?: number;
  readonly onProgress?: (done: number, total: number) => void;
  /** Once it fires nothing more is sent; what was sent is waited for and kept. */
  readonly signal?: AbortSignal;
}

export interface ServerCompletion {
  readonly text: string;
  readonly finish: 'stop' | 'length';
  /** As the server counts them, the stop token perhaps included; servers do not give the ids. */
  readonly tokenCount?: number;
}

export interface GeneratedRow {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly completions: readonly ServerCompletion[];
}

/**
 * Completes prompts on an OpenAI-compatible server, as many at once as the client allows. Rows come in the order of
 * `prompts`. Sample i of a prompt has the seed `seed + i`, so that samples differ and can be had again.
 *
 * Prompts that the server refuses, or whose answers it withholds, are named when all others are answered. Whatever is thrown, nothing
 * is under way any more, and the client's cache has every answer.
 */
export async function generateOnServer(
  server: ChatServer,
  prompts: readonly PromptExample[],
  options: ServerGeneration,
): Promise<GeneratedRow[]> {
  const samples = options.samplesPerPrompt ?? 1;
  if (options.greedy === true && samples > 1) {
    throw new UsageError('greedy-samples', `Greedy decoding gives the same answer ${samples} times.`, {
      hint: 'Ask for one completion, or sample with a temperature.',
    });
  }
  let done = 0;
  const refused = new Map<string, RequestRefused>();
  const completionOf = async ({ id, prompt }: PromptExample, sample: number): Promise<ServerCompletion[]> => {
    try {
      const { text, finish, completionTokens } = await complete(server, prompt, options, sample);
      if (text === '' && finish === 'length') throw nothingBeforeLimit(options.maxNewTokens);
      options.onProgress?.(++done, prompts.length * samples);
      return [{ text, finish, ...(completionTokens !== undefined && { tokenCount: completionTokens }) }];
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      refused.set(id, error);
      return [];
    }
  };
  const rows = await settleAll(
    prompts.map(async (example) => {
      const completions = Array.from({ length: samples }, (_, sample) => completionOf(example, sample));
      return { id: example.id, prompt: example.prompt, completions: (await settleAll(completions)).flat() };
    }),
  );
  if (refused.size > 0) throw promptsRefused(prompts, refused);
  return rows;
}

/** A model that reasons may spend all its tokens on that; what it would have answered is not an empty text. */
function nothingBeforeLimit(maxNewTokens: number): RequestRefused {
  return new RequestRefused('answer-withheld', `it sent no text within ${maxNewTokens} tokens`, {
    hint: 'Allow longer answers: of a model that reasons, what it thinks counts too.',
  });
}

const NAMED_PROMPTS = 5;

function promptsRefused(
  prompts: readonly PromptExample[],
  refused: ReadonlyMap<string, RequestRefused>,
): RequestRefused {
  const ids = prompts.flatMap(({ id }) => (refused.has(id) ? [id] : []));
  const names = ids.slice(0, NAMED_PROMPTS).map((id) => `"${id}"`);
  if (ids.length > names.length) names.push(`and ${ids.length - names.length} more`);
  const cause = refused.get(ids[0]!)!;
  return new RequestRefused(
    'request-refused',
    `The server gave no answer to ${ids.length} of ${prompts.length} prompts (${names.join(', ')}): ${cause.message}`,
    {
      cause,
      ...(cause.hint !== undefined && { hint: cause.hint }),
      // When all are refused, it is not for what they say.
      ...(cause.hint === undefined &&
        ids.length < prompts.length && {
          hint: 'Shorten or reword them, or leave them out, and run again: what was answered and kept is not asked again.',
        }),
    },
  );
}

function complete(
  server: ChatServer,
  prompt: TextOrChat,
  options: ServerGeneration,
  sample: number,
): Promise<Completion> {
  const body = {
    model: options.model,
    max_tokens: options.maxNewTokens,
    ...(options.greedy === true
      ? { temperature: 0 }
      : {
          ...(options.temperature !== undefined && { temperature: options.temperature }),
          ...(options.topP !== undefined && { top_p: options.topP }),
          ...(options.topK !== undefined && { top_k: options.topK }),
          ...(options.seed !== undefined && { seed: options.seed + sample }),
        }),
  };
  const how = { sample, signal: options.signal };
  if (typeof prompt === 'string' && !options.chat) {
    return server.post('/completions', { ...body, prompt }, textCompletion, how);
  }
  const messages = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
  return server.post('/chat/completions', { ...body, messages }, chatCompletion, how);
}
