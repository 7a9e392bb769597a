import type { TextOrChat } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import type { CliContext } from '../context.ts';
import { type ModelOptions, openModel } from '../model.ts';
import { answerInParts } from './parts.ts';
import { type PromptOptions, readPrompts } from './prompts.ts';
import { describeSampling, effectiveSampling, type SamplingFlags, samplingOptions } from './sampling.ts';

export interface HereOptions extends ModelOptions, PromptOptions, SamplingFlags {
  readonly seed: number;
  readonly maxNewTokens: number;
  /** Answers decoded together. */
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

/** Answers of a model that is run here. */
export async function generateHere(
  context: CliContext,
  options: HereOptions,
  signal: AbortSignal,
): Promise<GenerateRecord[]> {
  const { encodePrompt } = await import('../../data/index.ts');
  const { stopTokensFor } = await import('../../generate/index.ts');
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
    context.emit({ event: 'sampling', model: options.model, ...effectiveSampling(sampling) });
    const prompts = await readPrompts(context, options, chatTemplate);
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
