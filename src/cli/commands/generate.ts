import { rmSync } from 'node:fs';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { PromptExample, TextOrChat } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import type { SamplingOptions } from '../../generate/index.ts';
import { answerPartsPath, promptsOfPart } from '../answer-parts.ts';
import { command, decimal, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import { asInterrupted } from '../interrupt.ts';
import type { ModelOptions } from '../model.ts';
import {
  type Columns,
  columnOption,
  computeTypeOption,
  DEVICE_HELP,
  MODEL_HELP,
  threadsOption,
} from '../options.ts';
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
    .addOption(columnOption())
    .option('--chat', 'a text prompt is a user’s turn in a chat')
    .addOption(
      new Option(
        '--greedy',
        'always the likeliest token (default: where the model’s do_sample is false)',
      ).conflicts(['temperature', 'topP', 'topK']),
    )
    .option('--temperature <t>', 'sampling temperature (default: the model’s, else 1)', decimal)
    .option(
      '--top-p <p>',
      'of the likeliest tokens, with p in all (default: the model’s, else 1: all)',
      decimal,
    )
    .option('--top-k <k>', 'of the k likeliest tokens; 0: all (default: the model’s, else 0)', wholeNumber)
    .addOption(
      new Option(
        '--repetition-penalty <r>',
        'against tokens that are there, greedy or not (default: the model’s, else 1: none)',
      )
        .argParser(decimal)
        .conflicts('server'),
    )
    .option('--seed <n>', 'of the sampling', wholeNumber, 0)
    .option('--n <n>', 'answers to each prompt', positiveInteger, 1)
    .option('--max-new-tokens <n>', 'length limit of an answer', positiveInteger, 256)
    .option('--batch <n>', 'answers decoded together', positiveInteger, 16)
    .addOption(computeTypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--server <url>', 'ask an OpenAI-compatible server instead; --model is its name there')
    .option('--key-env <name>', 'environment variable with its API key (default: none is sent)')
    .option('--output <file>', 'a JSON object a prompt; without it, answers are printed')
    .action(async (options) => {
      if (options.prompt === undefined && options.prompts === undefined) {
        throw new UsageError('prompt-missing', 'There is nothing to answer.', {
          hint: 'Give --prompt TEXT or --prompts FILE.',
        });
      }
      const { server } = options;
      const interrupt = context.interruptible(
        server === undefined
          ? 'Stopping.'
          : 'Stopping. Answers under way are waited for, unless interrupted again.',
      );
      try {
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
        throw asInterrupted(error, interrupt.signal, afterInterrupt(options));
      } finally {
        interrupt.release();
      }
    });
}

/** What is left of an interrupted command. */
function afterInterrupt({
  output,
  server,
  batch,
  n,
}: Pick<GenerateCommandOptions, 'output' | 'batch' | 'n'> & { readonly server?: string }): string {
  if (output === undefined) return 'Interrupted; nothing was written.';
  const kept =
    server === undefined
      ? `answers are kept ${promptsOfPart({ batchSize: batch, samplesPerPrompt: n })} prompts at a time`
      : 'what was answered is kept';
  return `Interrupted. Run the same command again to go on: ${kept}.`;
}

export interface GenerateCommandOptions extends ModelOptions {
  readonly prompt?: string;
  readonly prompts?: string;
  readonly column?: Columns;
  readonly chat?: boolean;
  readonly greedy?: boolean;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly repetitionPenalty?: number;
  readonly seed: number;
  readonly n: number;
  readonly maxNewTokens: number;
  readonly batch: number;
  /** What the answers are going to be written to, by the caller. Parts of them are kept beside it (`answerPartsPath`). */
  readonly output?: string;
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
  options: Pick<GenerateCommandOptions, 'prompt' | 'prompts' | 'column' | 'chat'>,
  chatTemplate: boolean,
): Promise<readonly PromptExample[]> {
  if (options.prompt !== undefined) {
    return [{ id: '0', prompt: options.chat ? [{ role: 'user', content: options.prompt }] : options.prompt }];
  }
  const { loadPrompts } = await import('../../data/index.ts');
  const { hubData } = await import('../model.ts');
  const reading = readingOptions(options.chat ? 'chat' : 'auto', {
    chatTemplate,
    strict: true,
    columns: options.column,
  });
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
  const { stopTokensFor } = await import('../../generate/index.ts');
  const { openModel } = await import('../model.ts');
  const loaded = await openModel(context, options);
  const { model, tokenizer, generationConfig } = loaded;
  try {
    const chatTemplate = tokenizer.chatTemplate !== undefined;
    if (options.chat === true && !chatTemplate) {
      throw new UsageError('no-chat-template', `${options.model} has no chat template.`, {
        hint: 'Leave --chat out, or use a model that was tuned for chat.',
      });
    }
    const sampling = samplingOptions(options, generationConfig);
    context.note(describeSampling(sampling));
    context.emit({ event: 'sampling', model: options.model, ...effective(sampling) });
    const prompts = await readPrompts(context, options, chatTemplate);
    const { answerInParts } = await import('../answer-parts.ts');
    const answers = await answerInParts(
      context,
      loaded,
      prompts.map(({ prompt }) => encodePrompt(prompt, tokenizer)),
      {
        ...sampling,
        maxNewTokens: options.maxNewTokens,
        stopTokenIds: stopTokensFor(
          { model, tokenizer },
          prompts.map(({ prompt }) => prompt),
        ),
        samplesPerPrompt: options.n,
        seed: options.seed,
        batchSize: options.batch,
        signal,
      },
      options.output,
    );
    return prompts.map(({ id, prompt }, index) => ({ id, prompt, completions: answers[index]! }));
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
    for (const record of records) context.emit({ event: 'answer', ...record });
    context.emit({ event: 'done', prompts: records.length });
    return;
  }
  const { writeJsonLines } = await import('../../runs/index.ts');
  writeJsonLines(output, records);
  rmSync(answerPartsPath(output), { force: true });
  context.note(`wrote ${output} (${records.length} prompts)`);
  context.emit({ event: 'done', output, prompts: records.length });
}

/**
 * What was asked for, then what the model's generation_config.json says. Its `do_sample: false` gives way to whatever asks to
 * sample; its repetition penalty holds for greedy answers too, as in transformers.
 */
export function samplingOptions(
  asked: Pick<GenerateCommandOptions, 'greedy' | 'temperature' | 'topP' | 'topK' | 'repetitionPenalty' | 'n'>,
  config: Readonly<Record<string, unknown>>,
): SamplingOptions {
  const number = (given: number | undefined, key: string): number | undefined => {
    const stated = config[key];
    return given ?? (typeof stated === 'number' ? stated : undefined);
  };
  const repetitionPenalty = number(asked.repetitionPenalty, 'repetition_penalty');
  const penalty = repetitionPenalty === undefined ? {} : { repetitionPenalty };
  const sampled = asked.n > 1 || [asked.temperature, asked.topP, asked.topK].some((x) => x !== undefined);
  if (asked.greedy ?? (config.do_sample === false && !sampled)) return { greedy: true, ...penalty };
  const temperature = number(asked.temperature, 'temperature');
  const topP = number(asked.topP, 'top_p');
  const topK = number(asked.topK, 'top_k');
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && topK > 0 && { topK }),
    ...penalty,
  };
}

/** With the values that hold where none was given; of a greedy choice only the penalty matters. */
function effective({
  greedy = false,
  temperature = 1,
  topP = 1,
  topK = 0,
  repetitionPenalty = 1,
}: SamplingOptions) {
  return greedy ? { greedy, repetitionPenalty } : { greedy, temperature, topP, topK, repetitionPenalty };
}

/** `Sampling: temperature 0.6, top-p 0.9, repetition penalty 1.1.` */
function describeSampling(options: SamplingOptions): string {
  const { temperature, topP = 1, topK = 0, repetitionPenalty } = effective(options);
  const parts = [
    ...(temperature === undefined ? ['greedy'] : [`temperature ${temperature}`]),
    ...(topP < 1 ? [`top-p ${topP}`] : []),
    ...(topK > 0 ? [`top-k ${topK}`] : []),
    ...(repetitionPenalty === 1 ? [] : [`repetition penalty ${repetitionPenalty}`]),
  ];
  return `Sampling: ${parts.join(', ')}.`;
}
