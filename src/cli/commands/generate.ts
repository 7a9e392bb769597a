import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { PromptExample, TextOrChat } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import type { SamplingOptions } from '../../generate/index.ts';
import { command, decimal, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import { asInterrupted } from '../interrupt.ts';
import type { ModelOptions } from '../model.ts';
import { computeTypeOption, DEVICE_HELP, MODEL_HELP, threadsOption } from '../options.ts';
import { Progress } from '../progress.ts';
import { generateFromServer } from '../server-generate.ts';

export function generateCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'generate', 'answers to a prompt or to a file of prompts', [
    'mallows generate --model runs/quickstart/model --chat --prompt "Why is the sky blue?"',
    'mallows generate --model smollm2-135m --prompts prompts.jsonl --greedy --output answers.jsonl',
    'mallows generate --server http://127.0.0.1:8080/v1 --model M --chat --prompts P.jsonl --output A.jsonl',
    'mallows generate --model M --prompts P.jsonl --n 5 --temperature 0.8 --top-p 0.95 --output A.jsonl',
  ])
    .requiredOption('--model <model>', MODEL_HELP)
    .addOption(new Option('--prompt <text>', 'one prompt').conflicts('prompts'))
    .option('--prompts <file>', 'prompts: {prompt}, {messages}, preference pairs, or a line each (.txt)')
    .option('--chat', 'a text prompt is a user’s turn in a chat')
    .addOption(
      new Option('--greedy', 'always the likeliest token').conflicts(['temperature', 'topP', 'topK']),
    )
    .option('--temperature <t>', 'sampling temperature (default: the model’s, else 1)', decimal)
    .option('--top-p <p>', 'sample from the smallest set of tokens with this probability', decimal)
    .option('--top-k <k>', 'sample from the k likeliest tokens', wholeNumber)
    .option('--seed <n>', 'of the sampling', wholeNumber, 0)
    .option('--n <n>', 'answers to each prompt', positiveInteger, 1)
    .option('--max-new-tokens <n>', 'length limit of an answer', positiveInteger, 256)
    .option('--batch <n>', 'answers decoded together', positiveInteger, 16)
    .addOption(computeTypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--server <url>', 'ask an OpenAI-compatible server instead; --model is its name there')
    .option('--key-env <name>', 'environment variable with the server’s API key', 'OPENAI_API_KEY')
    .option('--output <file>', 'a JSON object a prompt; without it, answers are printed')
    .action(async (options) => {
      if (options.prompt === undefined && options.prompts === undefined) {
        throw new UsageError('prompt-missing', 'There is nothing to answer.', {
          hint: 'Give --prompt TEXT or --prompts FILE.',
        });
      }
      const interrupt = context.interruptible('Stopping.');
      try {
        const { server } = options;
        const records =
          server === undefined
            ? await generateHere(context, options, interrupt.signal)
            : await generateFromServer(
                context,
                await readPrompts(context, options, options.chat === true),
                { ...options, server },
                interrupt.signal,
              );
        await deliver(context, records, options.output);
      } catch (error) {
        throw asInterrupted(
          error,
          interrupt.signal,
          options.server === undefined || options.output === undefined
            ? 'Interrupted; nothing was written.'
            : 'Interrupted. Run the same command again to go on: what was answered is kept.',
        );
      } finally {
        interrupt.release();
      }
    });
}

export interface GenerateCommandOptions extends ModelOptions {
  readonly prompt?: string;
  readonly prompts?: string;
  readonly chat?: boolean;
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed: number;
  readonly n: number;
  readonly maxNewTokens: number;
  readonly batch: number;
}

/** A line of the output; `tokens` only from our own generator, servers do not give ids. */
export interface GenerateRecord {
  readonly id: string;
  readonly prompt: TextOrChat;
  readonly completions: readonly {
    readonly text: string;
    readonly tokens?: readonly number[];
    readonly finish: string;
  }[];
}

/** The prompts to answer, each once. */
export async function readPrompts(
  context: CliContext,
  options: Pick<GenerateCommandOptions, 'prompt' | 'prompts' | 'chat'>,
  chatTemplate: boolean,
): Promise<readonly PromptExample[]> {
  if (options.prompt !== undefined) {
    return [{ id: '0', prompt: options.chat ? [{ role: 'user', content: options.prompt }] : options.prompt }];
  }
  const { loadPrompts } = await import('../../data/index.ts');
  const { hubData } = await import('../model.ts');
  const reading = readingOptions(options.chat ? 'chat' : 'auto', { chatTemplate, strict: true });
  const { examples } = await loadPrompts(options.prompts!, { ...reading, hub: await hubData(context) });
  const distinct = await distinctPrompts(examples);
  if (distinct.length < examples.length) {
    context.note(
      `${examples.length - distinct.length} of ${examples.length} rows repeat a prompt: it is answered once, under the id of its first row.`,
    );
  }
  return distinct;
}

/**
 * The first row of each prompt. Pairs often repeat a prompt; its answers would count as independent evidence in every
 * later comparison.
 */
export async function distinctPrompts(examples: readonly PromptExample[]): Promise<readonly PromptExample[]> {
  const { canonicalJson } = await import('../../data/index.ts');
  const first = new Map(examples.toReversed().map((example) => [canonicalJson(example.prompt), example]));
  return examples.filter((example) => first.get(canonicalJson(example.prompt)) === example);
}

/** Answers of a model that is run here. */
export async function generateHere(
  context: CliContext,
  options: GenerateCommandOptions,
  signal: AbortSignal,
): Promise<GenerateRecord[]> {
  const { encodePrompt } = await import('../../data/index.ts');
  const { generate, stopTokensFor } = await import('../../generate/index.ts');
  const { openModel } = await import('../model.ts');
  const { model, tokenizer, generationConfig } = await openModel(context, options);
  try {
    const chatTemplate = tokenizer.chatTemplate !== undefined;
    if (options.chat === true && !chatTemplate) {
      throw new UsageError('no-chat-template', `${options.model} has no chat template.`, {
        hint: 'Leave --chat out, or use a model that was tuned for chat.',
      });
    }
    const prompts = await readPrompts(context, options, chatTemplate);
    const progress = new Progress(context, { unit: 'answer' });
    const began = performance.now();
    const completions = await generate(
      model,
      prompts.map(({ prompt }) => encodePrompt(prompt, tokenizer)),
      {
        ...(options.greedy ? { greedy: true } : sampling(options, generationConfig)),
        maxNewTokens: options.maxNewTokens,
        stopTokenIds: stopTokensFor(
          { model, tokenizer },
          prompts.map(({ prompt }) => prompt),
        ),
        samplesPerPrompt: options.n,
        seed: options.seed,
        batchSize: options.batch,
        signal,
        onProgress: ({ finished, total, newTokens }) => {
          const rate = (1000 * newTokens) / (performance.now() - began);
          progress.update({ done: finished, total, fields: [`${rate.toFixed(0)} tokens/s`] });
        },
      },
    );
    progress.finish();
    return prompts.map(({ id, prompt }, index) => ({
      id,
      prompt,
      completions: completions[index]!.map(({ tokens, finish }) => ({
        text: tokenizer.decode(tokens, { skipSpecialTokens: true }),
        tokens: [...tokens],
        finish,
      })),
    }));
  } finally {
    model.dispose();
  }
}

/** Writes the records, or prints the answers. */
async function deliver(
  context: CliContext,
  records: readonly GenerateRecord[],
  output: string | undefined,
): Promise<void> {
  if (output === undefined) {
    const { plainText } = await import('../../data/index.ts');
    for (const { prompt, completions } of records) {
      if (records.length > 1) context.print(context.paint.bold(plainText(prompt)));
      for (const { text } of completions) context.print(text);
    }
    for (const record of records) context.emit(record);
    return;
  }
  const { writeJsonLines } = await import('../../runs/index.ts');
  writeJsonLines(output, records);
  context.note(`wrote ${output} (${records.length} prompts)`);
  context.emit({ event: 'done', output, prompts: records.length });
}

/** What was asked for, then what the model's generation_config.json says. */
function sampling(
  options: { readonly temperature?: number; readonly topP?: number; readonly topK?: number },
  config: Readonly<Record<string, unknown>>,
): SamplingOptions {
  const number = (given: number | undefined, key: string): number | undefined => {
    const stated = config[key];
    return given ?? (typeof stated === 'number' ? stated : undefined);
  };
  const temperature = number(options.temperature, 'temperature');
  const topP = number(options.topP, 'top_p');
  const topK = number(options.topK, 'top_k');
  const repetitionPenalty = number(undefined, 'repetition_penalty');
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && topK > 0 && { topK }),
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
  };
}
