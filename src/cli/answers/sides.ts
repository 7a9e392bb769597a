import { readingOptions } from '../../config/reading.ts';
import type { PromptExample } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import type { Answers } from '../../evaluate/index.ts';
import type { CliContext } from '../context.ts';
import { asInterrupted } from '../interrupt.ts';
import { hubData, type ModelOptions } from '../model.ts';
import type { Columns } from '../options.ts';
import { generateHere } from './here.ts';
import { readPrompts } from './prompts.ts';
import { generateFromServer } from './server.ts';

/** How a side of a comparison that is a model answers. */
interface AnswerOptions extends Omit<ModelOptions, 'model'> {
  readonly prompts?: string;
  readonly column?: Columns;
  readonly chat?: boolean;
  readonly maxNewTokens: number;
  readonly server?: string;
  readonly serverKeyEnv?: string;
  readonly concurrency: number;
}

/** Answers from a file, or from a model that gives them now, here or on a server; those are kept in `keepAt`. */
export async function answersOf(
  context: CliContext,
  source: string,
  keepAt: string,
  options: AnswerOptions,
): Promise<Answers[]> {
  const { readAnswers, serverAddress } = await import('../../evaluate/index.ts');
  if (isFile(source)) return readAnswers(source);
  const { prompts, server } = options;
  if (prompts === undefined) {
    throw new UsageError('prompt-missing', `${source} is a model, and there is nothing for it to answer.`, {
      hint: 'Give the prompts with --prompts, or a file of answers (.jsonl).',
    });
  }
  const { writeJsonLines } = await import('../../runs/index.ts');
  context.note(`${source} answers ${prompts}${server === undefined ? '' : ` on ${serverAddress(server)}`}`);
  const interrupt = context.interruptible('Stopping.');
  try {
    writeJsonLines(
      keepAt,
      await askModel(context, { ...options, model: source, prompts, keepAt }, interrupt.signal),
    );
    return readAnswers(keepAt);
  } catch (error) {
    throw asInterrupted(error, interrupt.signal, `Interrupted while ${source} was answering.`);
  } finally {
    interrupt.release();
  }
}

async function askModel(
  context: CliContext,
  options: AnswerOptions & { readonly model: string; readonly prompts: string; readonly keepAt: string },
  signal: AbortSignal,
): Promise<readonly object[]> {
  const { model, prompts, column, chat, maxNewTokens, server, keepAt, concurrency, dtype, device, threads } =
    options;
  const reading = { prompts, ...(column !== undefined && { column }), ...(chat === true && { chat }) };
  const asked = { model, ...reading, greedy: true, maxNewTokens, seed: 0, n: 1 };
  if (server === undefined) {
    const here = { dtype, device, ...(threads !== undefined && { threads }) };
    return generateHere(context, { ...asked, ...here, batch: 16 }, signal);
  }
  return generateFromServer(
    context,
    await readPrompts(context, asked, chat === true),
    {
      ...asked,
      server,
      batch: concurrency,
      output: keepAt,
      ...(options.serverKeyEnv !== undefined && { keyEnv: options.serverKeyEnv }),
    },
    signal,
  );
}

function isFile(source: string): boolean {
  return /\.(jsonl|ndjson|json|csv|tsv|parquet)(\.gz)?$/i.test(source);
}

/** The prompts to judge: those named, each once where a model answers them, because it answers each once. */
export async function promptsOf(
  context: CliContext,
  {
    prompts,
    column,
    a,
    b,
  }: { readonly prompts?: string; readonly column?: Columns; readonly a: string; readonly b: string },
): Promise<readonly PromptExample[] | undefined> {
  if (prompts === undefined) return undefined;
  const { distinctPrompts, loadPrompts } = await import('../../data/index.ts');
  const { examples } = await loadPrompts(prompts, {
    ...readingOptions('auto', { strict: true, columns: column }),
    hub: await hubData(context),
  });
  if (isFile(a) && isFile(b)) return examples;
  return distinctPrompts(examples);
}
