import { readingOptions } from '../config/reading.ts';
import type { PreferencePair } from '../data/index.ts';
import type { PairScore } from '../runs/index.ts';
import type { CliContext } from './context.ts';
import { noteRows } from './data.ts';
import { asInterrupted } from './interrupt.ts';
import { hubData, type ModelOptions, openModel } from './model.ts';
import type { Columns } from './options.ts';
import { Progress } from './progress.ts';

export interface ScoringOptions extends ModelOptions {
  readonly data: string;
  /** Default 1024, or the model's context where that is shorter. */
  readonly maxLength?: number;
  readonly format: string;
  readonly column?: Columns;
  readonly strict?: boolean;
}

export interface ScoredPairs {
  readonly pairs: readonly PreferencePair[];
  /** In the order of `pairs`, which is the file's. */
  readonly scores: readonly PairScore[];
  readonly vocabularySize: number;
}

/** Reads pairs, tokenises them and scores both completions: what `score` and `dispersion` have in common. */
export async function scoreData(context: CliContext, options: ScoringOptions): Promise<ScoredPairs> {
  const { defaultMaxLength, loadPairs, tokenizePairs } = await import('../data/index.ts');
  const { scorePairs } = await import('../train/index.ts');
  const { model, tokenizer } = await openModel(context, options);
  const strict = options.strict === true;
  const reading = readingOptions(options.format, {
    chatTemplate: tokenizer.chatTemplate !== undefined,
    strict,
    columns: options.column,
  });
  const data = await loadPairs(options.data, { ...reading, hub: await hubData(context) });
  const maxLength = options.maxLength ?? defaultMaxLength(model.config);
  const tokenized = await tokenizePairs(data, tokenizer, { maxLength, strict });
  await noteRows(context, {
    source: data.source,
    format: data.format,
    usable: tokenized.examples.length,
    badRows: [...data.badRows, ...tokenized.badRows],
    cut: tokenized.cut,
  });
  const interrupt = context.interruptible('Stopping.');
  const progress = new Progress(context, { unit: 'pair' });
  try {
    const scores = await scorePairs(model, tokenized.tokens, {
      signal: interrupt.signal,
      onProgress: (done, total) => progress.update({ done, total, fields: [] }),
      notice: (message) => context.note(context.paint.yellow(message)),
    });
    progress.finish();
    return { pairs: tokenized.examples, scores, vocabularySize: model.config.vocabularySize };
  } catch (error) {
    throw asInterrupted(error, interrupt.signal, 'Interrupted; nothing was written.');
  } finally {
    interrupt.release();
    model.dispose();
  }
}
