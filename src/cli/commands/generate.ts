import { rmSync } from 'node:fs';
import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { UsageError } from '../../errors.ts';
import { type GenerateRecord, generateHere, type HereOptions } from '../answers/here.ts';
import { answerPartsPath, promptsOfPart } from '../answers/parts.ts';
import { readPrompts } from '../answers/prompts.ts';
import { generateFromServer } from '../answers/server.ts';
import { command, decimal, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { asInterrupted } from '../interrupt.ts';
import { columnOption, computeTypeOption, DEVICE_HELP, MODEL_HELP, threadsOption } from '../options.ts';
import { requireWritable } from '../writable.ts';

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
      if (options.output !== undefined) requireWritable(options.output);
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
}: Pick<HereOptions, 'output' | 'batch' | 'n'> & { readonly server?: string }): string {
  if (output === undefined) return 'Interrupted; nothing was written.';
  const kept =
    server === undefined
      ? `answers are kept ${promptsOfPart({ batchSize: batch, samplesPerPrompt: n })} prompts at a time`
      : 'what was answered is kept';
  return `Interrupted. Run the same command again to go on: ${kept}.`;
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
