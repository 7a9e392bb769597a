import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { command } from '../command.ts';
import type { CliContext } from '../context.ts';
import {
  columnOption,
  DEVICE_HELP,
  dtypeOption,
  FORMAT_HELP,
  MODEL_HELP,
  maxLengthOption,
  PAIRS_HELP,
  threadsOption,
} from '../options.ts';
import { requireWritable } from '../writable.ts';

export function scoreCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'score', 'log-probability and entropy of both completions of every pair', [
    'mallows score --model smollm2-135m --data pairs.jsonl --output scores.jsonl',
    'mallows score --model runs/dpo/model --data pairs.jsonl --max-length 512 --output scores.jsonl',
    'mallows score --model model.gguf --data hh.jsonl.gz --format text --dtype bf16 --output scores.jsonl',
  ])
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption('--data <data>', PAIRS_HELP)
    .option('--format <name>', FORMAT_HELP, 'auto')
    .addOption(columnOption())
    .addOption(maxLengthOption())
    .addOption(dtypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--strict', 'stop at the first bad row')
    .requiredOption('--output <file>', 'a JSON object a pair, in the order of the data')
    .action(async (options) => {
      requireWritable(options.output);
      const { scoreData } = await import('../scoring.ts');
      const { writeJsonLines } = await import('../../runs/index.ts');
      const { scores } = await scoreData(context, options);
      writeJsonLines(options.output, scores);
      context.note(`wrote ${options.output} (${scores.length} pairs)`);
      context.emit({ event: 'done', output: options.output, pairs: scores.length });
    });
}
