import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { positiveInteger } from './command.ts';

/** What several commands share; each is added by hand, so that a command's file shows all it takes. */
export const MODEL_HELP = 'alias (smollm2-135m), directory, .gguf file or hub id';
export const PAIRS_HELP =
  'preference pairs: .jsonl, .jsonl.gz, .csv, .parquet, hf:owner/name, or a named set (hh, shp)';
export const FORMAT_HELP = 'auto, chat, text, or a layout (hh, ultrafeedback, shp, …)';
export const DEVICE_HELP = 'auto (first CUDA device, else cpu), cpu, cuda, cuda:N, mps';

export type Columns = Readonly<Record<string, string>>;

/** The data's names for our columns. */
export function columnOption() {
  return new Option(
    '--column <name=column>',
    'what the data calls a column: prompt=query (repeatable)',
  ).argParser((text: string, before: Columns | undefined): Columns => {
    const [name, column, ...more] = text.split('=');
    if (!name || !column || more.length > 0)
      throw new InvalidArgumentError('Expected NAME=COLUMN, e.g. prompt=query.');
    return { ...before, [name]: column };
  });
}

export function computeTypeOption() {
  return new Option('--dtype <dtype>', 'compute type; auto: bf16 where the hardware multiplies it')
    .choices(['auto', 'fp32', 'bf16'] as const)
    .default('auto' as const);
}

/** For numbers that are looked at, not sampled from. */
export function dtypeOption() {
  return new Option('--dtype <dtype>', 'compute type')
    .choices(['fp32', 'bf16'] as const)
    .default('fp32' as const);
}

/** For what reads pairs as training does. */
export function maxLengthOption() {
  return new Option(
    '--max-length <n>',
    'tokens of prompt and completion together (default: 1024, or the model’s context if shorter)',
  ).argParser(positiveInteger);
}

export function threadsOption() {
  return new Option('--threads <n>', 'CPU threads (default: all cores)').argParser(positiveInteger);
}
