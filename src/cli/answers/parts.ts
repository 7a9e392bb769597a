import type { LoadedModel } from '../../checkpoints/index.ts';
import type { GenerateOptions } from '../../generate/index.ts';
import { contextNotice } from '../../models/context-length.ts';
import type { CliContext } from '../context.ts';
import { Progress } from '../progress.ts';

export interface Answer {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly finish: string;
}

export interface AnswerOptions extends Omit<GenerateOptions, 'firstPrompt' | 'onProgress' | 'notice'> {
  readonly samplesPerPrompt: number;
  readonly batchSize: number;
}

/** Batches of answers in a part. Each part ends with a batch that runs empty: of so many that is two or three percent. */
const PART_BATCHES = 32;

/** Prompts whose answers are kept at once. */
export function promptsOfPart({
  batchSize,
  samplesPerPrompt,
}: Pick<AnswerOptions, 'batchSize' | 'samplesPerPrompt'>): number {
  return Math.ceil((PART_BATCHES * batchSize) / samplesPerPrompt);
}

/** Where a file of answers is kept while it is made. */
export function answerPartsPath(output: string): string {
  return `${output.replace(/\.jsonl$/, '')}.parts.jsonl`;
}

/**
 * Answers prompts part by part. With `output`, finished parts are kept beside it and an interrupted call goes on after them
 * to the same answers, as long as the model, the prompts, the options and what decides rounding are the same. Rounding
 * depends on the answers that are decoded together: without `output` the parts are the same ones.
 */
export async function answerInParts(
  context: CliContext,
  { model, tokenizer, source }: LoadedModel,
  prompts: readonly Int32Array[],
  options: AnswerOptions,
  output?: string,
): Promise<Answer[][]> {
  const { hashValues } = await import('../../data/index.ts');
  const { rounding, threads } = await import('../../engine/index.ts');
  const { checkPrompts, generate, outgrownNotice } = await import('../../generate/index.ts');
  const { KeptParts } = await import('../../runs/index.ts');
  checkPrompts(model, prompts, options); // not when its part's turn comes
  const { signal: _, ...settings } = options;
  const depends = {
    model: source.hash,
    dtype: model.dtype,
    rounding: rounding(model.device),
    threads: threads(),
    prompts: hashValues(prompts.map((tokens) => [...tokens])),
    ...settings,
  };
  const path = output === undefined ? undefined : answerPartsPath(output);
  const parts = new KeptParts(path, depends, {
    onKept: (count) =>
      context.note(`Going on after ${count} of ${prompts.length} prompts, whose answers are in ${path}.`),
    onOther: () =>
      context.note(`The answers kept in ${path} are of another model, machine or setting: answering anew.`),
  });
  const { samplesPerPrompt } = options;
  const progress = new AnswerProgress(context, prompts.length * samplesPerPrompt);
  const warn = (message: string | undefined) => {
    if (message !== undefined) context.note(context.paint.yellow(message));
  };
  const lengths = prompts.map(({ length }) => length);
  warn(contextNotice(lengths, 'prompts', model.config));
  const answers = await parts.collect(prompts, promptsOfPart(options), async (part, firstPrompt) => {
    progress.startPart(firstPrompt * samplesPerPrompt);
    const completions = await generate(model, part, {
      ...options,
      firstPrompt,
      onProgress: ({ finished, newTokens }) => progress.update(finished, newTokens),
    });
    return completions.map((own) =>
      own.map(({ tokens, finish }) => ({
        text: tokenizer.decode(tokens, { skipSpecialTokens: true }),
        tokens: [...tokens],
        finish,
      })),
    );
  });
  progress.finish();
  warn(outgrownNotice(prompts, answers, model.config));
  return answers;
}

/** Answers and tokens a second over all parts. */
class AnswerProgress {
  readonly #progress: Progress;
  readonly #total: number;
  readonly #began = performance.now();
  #before = 0;
  #tokensBefore = 0;
  #tokens = 0;

  constructor(context: CliContext, total: number) {
    this.#progress = new Progress(context, { unit: 'answer' });
    this.#total = total;
  }

  startPart(before: number): void {
    this.#before = before;
    this.#tokensBefore += this.#tokens;
    this.#tokens = 0;
  }

  update(finished: number, tokens: number): void {
    this.#tokens = tokens;
    const rate = (1000 * (this.#tokensBefore + tokens)) / (performance.now() - this.#began);
    const fields = [`${rate.toFixed(0)} tokens/s`];
    this.#progress.update({ done: this.#before + finished, total: this.#total, fields });
  }

  finish(): void {
    this.#progress.finish();
  }
}
