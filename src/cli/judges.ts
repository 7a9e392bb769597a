import { ModelError, UsageError } from '../errors.ts';
import type { Judge, ResponseCache } from '../evaluate/index.ts';
import type { CliContext } from './context.ts';
import { hubOptions, type ModelOptions, placementOf } from './model.ts';

/** Where a judge of the name openai:MODEL is asked unless another server is named. */
export const OPENAI_URL = 'https://api.openai.com/v1';

/** How a server or a command is asked: options of the command line, and what the command tells and is told. */
interface AskingOptions {
  readonly judgeUrl: string;
  readonly keyEnv: string;
  readonly template?: string;
  readonly concurrency?: number;
  /** Seconds. */
  readonly timeout?: number;
  readonly retries?: number;
  /** Told before another attempt is waited for. */
  readonly note: (text: string) => void;
}

/** A judge, and what keeps the answers of one that is asked; closing it closes both. */
export interface OpenJudge extends Judge {
  readonly cache?: ResponseCache;
}

/** Whether a judge is a server or a command; the name of any other is a reward model's. */
export function isAsked(name: string): boolean {
  return /^(openai|cmd):/.test(name);
}

/** Refuses what names no judge before anything is opened or read, and fetches a reward model that is the hub's. */
export async function requireJudge(context: CliContext, name: string): Promise<void> {
  if (/^(openai|cmd):\s*\S/.test(name)) return;
  const { resolveModel } = await import('../checkpoints/index.ts');
  try {
    await resolveModel(name, hubOptions(context));
  } catch (cause) {
    if (!(cause instanceof ModelError && cause.code === 'model-not-found')) throw cause;
    throw new UsageError('unknown-judge', `"${name}" names no judge.`, {
      cause,
      hint: 'Use openai:MODEL, cmd:COMMAND, or the directory of a reward model or its hub id.',
    });
  }
}

/**
 * A server or a command as judge, by its name on the command line. What it has answered is kept in `cachePath`. A signal to
 * stop goes to each comparison: it ends waits, but not the requests that were sent, whose answers are paid for.
 */
export async function openAskedJudge(
  name: string,
  cachePath: string,
  options: AskingOptions,
): Promise<OpenJudge> {
  const { ResponseCache } = await import('../evaluate/index.ts');
  const cache = ResponseCache.open(cachePath);
  try {
    const judge = await askedJudge(name, cache, options);
    return {
      name: judge.name,
      orderFree: judge.orderFree,
      cache,
      compare: (pair, signal) => judge.compare(pair, signal),
      ...(judge.usage && { usage: () => judge.usage!() }),
      close: async () => {
        await judge.close();
        cache.close();
      },
    };
  } catch (error) {
    cache.close();
    throw error;
  }
}

async function askedJudge(name: string, cache: ResponseCache, options: AskingOptions): Promise<Judge> {
  const { apiKeyFromEnvironment, ChatJudge, ChatServer, CommandJudge, loadTemplate } = await import(
    '../evaluate/index.ts'
  );
  const { concurrency = 8, timeout = 120, retries = 8, template = 'pairwise', note } = options;
  const rest = name.slice(name.indexOf(':') + 1).trim();
  if (name.startsWith('cmd:')) return new CommandJudge(rest, { concurrency, cache });
  const server = new ChatServer({
    url: options.judgeUrl,
    apiKey: apiKeyFromEnvironment(options.keyEnv),
    concurrency,
    timeoutMs: 1000 * timeout,
    retries,
    cache,
    onRetry: (reason, attempt, delay) =>
      note(`${reason}; attempt ${attempt + 1} in ${(delay / 1000).toFixed(1)} s`),
  });
  return new ChatJudge(server, rest, loadTemplate(template));
}

/** A reward model as judge, computing where `placement` says. */
export async function openRewardJudge(
  context: CliContext,
  model: string,
  { dtype, device, threads }: Omit<ModelOptions, 'model'>,
): Promise<Judge> {
  const { RewardJudge, RewardModel } = await import('../evaluate/index.ts');
  const placement = await placementOf({ dtype, device, ...(threads !== undefined && { threads }) });
  return new RewardJudge(await RewardModel.load(model, { ...placement, ...hubOptions(context) }));
}

/** Replies are kept under a command's text, which stays the same when the program behind it changes. */
export function noteEarlierReplies(context: CliContext, { cache, usage }: OpenJudge): void {
  if (cache === undefined || cache.hits === 0 || usage !== undefined) return;
  context.note(`${cache.hits} replies of the command are earlier ones, from ${cache.path}`);
}
