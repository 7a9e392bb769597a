import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { PromptExample } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import type { SamplingOptions } from '../../generate/index.ts';
import { command, decimal, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { readingOptions } from '../data.ts';
import { Interrupted } from '../errors.ts';
import { DEVICE_HELP, dtypeOption, MODEL_HELP, threadsOption } from '../options.ts';
import { Progress } from '../progress.ts';

export function generateCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'generate', 'answers to a prompt or to a file of prompts', [
    'mallows generate --model runs/quickstart/model --chat --prompt "Why is the sky blue?"',
    'mallows generate --model smollm2-135m --prompts prompts.jsonl --greedy --output answers.jsonl',
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
    .addOption(dtypeOption())
    .option('--device <device>', DEVICE_HELP, 'cpu')
    .addOption(threadsOption())
    .option('--output <file>', 'a JSON object a prompt; without it, answers are printed')
    .action(async (options) => {
      const { encodePrompt, loadPrompts, plainText } = await import('../../data/index.ts');
      const { generate } = await import('../../generate/index.ts');
      const { writeFileAtomic } = await import('../../runs/index.ts');
      const { hubData, openModel } = await import('../model.ts');
      if (options.prompt === undefined && options.prompts === undefined) {
        throw new UsageError('prompt-missing', 'There is nothing to answer.', {
          hint: 'Give --prompt TEXT or --prompts FILE.',
        });
      }
      const { model, tokenizer, generationConfig } = await openModel(context, options);
      if (options.chat === true && tokenizer.chatTemplate === undefined) {
        throw new UsageError('no-chat-template', `${options.model} has no chat template.`, {
          hint: 'Leave --chat out, or use a model that was tuned for chat.',
        });
      }
      const prompts: readonly PromptExample[] =
        options.prompt !== undefined
          ? [{ id: '0', prompt: options.chat ? [{ role: 'user', content: options.prompt }] : options.prompt }]
          : (
              await loadPrompts(options.prompts!, {
                ...readingOptions(options.chat ? 'chat' : 'auto', {
                  chatTemplate: tokenizer.chatTemplate !== undefined,
                  strict: true,
                }),
                hub: await hubData(context),
              })
            ).examples;
      const interrupt = context.interruptible('Stopping.');
      const progress = new Progress(context, { unit: 'answer' });
      const began = performance.now();
      try {
        const completions = await generate(
          model,
          prompts.map(({ prompt }) => encodePrompt(prompt, tokenizer)),
          {
            ...(options.greedy ? { greedy: true } : sampling(options, generationConfig)),
            maxNewTokens: options.maxNewTokens,
            samplesPerPrompt: options.n,
            seed: options.seed,
            batchSize: options.batch,
            signal: interrupt.signal,
            onProgress: ({ finished, total, newTokens }) => {
              const rate = (1000 * newTokens) / (performance.now() - began);
              progress.update({ done: finished, total, fields: [`${rate.toFixed(0)} tokens/s`] });
            },
          },
        );
        progress.finish();
        const records = prompts.map(({ id, prompt }, index) => ({
          id,
          prompt,
          completions: completions[index]!.map(({ tokens, finish }) => ({
            text: tokenizer.decode(tokens, { skipSpecialTokens: true }),
            tokens: [...tokens],
            finish,
          })),
        }));
        if (options.output === undefined) {
          for (const { prompt, completions: answers } of records) {
            if (records.length > 1) context.print(context.paint.bold(plainText(prompt)));
            for (const { text } of answers) context.print(text);
          }
          for (const record of records) context.emit(record);
        } else {
          writeFileAtomic(options.output, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
          context.note(`wrote ${options.output} (${records.length} prompts)`);
          context.emit({ event: 'done', output: options.output, prompts: records.length });
        }
      } catch (error) {
        if (!interrupt.signal.aborted) throw error;
        throw new Interrupted('Interrupted; nothing was written.');
      } finally {
        interrupt.release();
        model.dispose();
      }
    });
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
