import type { PromptExample } from '../../data/index.ts';
import type { GeneratedRow } from '../../evaluate/index.ts';
import type { CliContext } from '../context.ts';
import { Progress } from '../progress.ts';
import type { SamplingFlags } from './sampling.ts';

export interface ServerOptions extends Omit<SamplingFlags, 'repetitionPenalty'> {
  readonly server: string;
  readonly model: string;
  /** Environment variable with the server's API key; without it none is sent. */
  readonly keyEnv?: string;
  /** Requests at once. */
  readonly batch: number;
  readonly chat?: boolean;
  readonly seed: number;
  readonly maxNewTokens: number;
  /** What the answers are going to be written to; replies are kept beside it. */
  readonly output?: string;
}

/** `mallows generate --server`: the same prompts and options, answered by an OpenAI-compatible server. */
export async function generateFromServer(
  context: CliContext,
  prompts: readonly PromptExample[],
  options: ServerOptions,
  signal: AbortSignal,
): Promise<GeneratedRow[]> {
  const { apiKeyFromEnvironment, ChatServer, generateOnServer, ResponseCache } = await import(
    '../../evaluate/index.ts'
  );
  // What is printed has no place to keep answers in; what is written has, and resumes from there.
  const cache =
    options.output === undefined
      ? undefined
      : ResponseCache.open(`${options.output.replace(/\.jsonl$/, '')}.cache.jsonl`);
  const progress = new Progress(context, { unit: 'answer' });
  try {
    const server = new ChatServer({
      url: options.server,
      apiKey: options.keyEnv === undefined ? undefined : apiKeyFromEnvironment(options.keyEnv),
      concurrency: options.batch,
      timeoutMs: 300_000,
      cache,
      onRetry: (reason, attempt, delay) =>
        progress.note(`${reason}; attempt ${attempt + 1} in ${(delay / 1000).toFixed(1)} s`),
    });
    const { model, maxNewTokens, greedy, temperature, topP, topK, seed, n } = options;
    const rows = await generateOnServer(server, prompts, {
      model,
      chat: options.chat === true,
      maxNewTokens,
      seed,
      samplesPerPrompt: n,
      signal,
      ...(greedy === true && { greedy }),
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { topP }),
      ...(topK !== undefined && { topK }),
      onProgress: (done, total) => progress.update({ done, total, fields: [] }),
    });
    progress.finish();
    noteEmpty(context, rows);
    return rows;
  } finally {
    cache?.close();
  }
}

function noteEmpty(context: CliContext, rows: readonly GeneratedRow[]): void {
  const texts = rows.flatMap(({ completions }) => completions.map(({ text }) => text));
  const empty = texts.filter((text) => text.trim() === '').length;
  if (empty > 0) context.note(`${empty} of ${texts.length} answers are empty: the model ended them at once.`);
}
