import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { readingOptions } from '../../config/reading.ts';
import { collect, command, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { announceReport } from '../experiment-report.ts';
import { asInterrupted } from '../interrupt.ts';
import { computeTypeOption, DEVICE_HELP, MODEL_HELP, threadsOption } from '../options.ts';
import { Progress } from '../progress.ts';

export function dispersionExperimentCommand(context: CliContext): CommandUnknownOpts {
  return command(
    context,
    'dispersion',
    'how dispersed the prompts of data sets are (Figures 1, 7, Tables 2, 3)',
    [
      'mallows reproduce dispersion --model smollm2-135m --data IMDB=reviews.csv.gz --data HH=hh.jsonl.gz',
      'mallows reproduce dispersion --model smollm2-135m --data examples/data/pandalm.jsonl.gz',
    ],
  )
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption(
      '--data <[name=]file>',
      'reviews {review, sentiment}, preference pairs, or answers with votes; may be repeated',
      collect,
    )
    .option('--rows <n>', 'usable rows of each data set, drawn at random', positiveInteger, 600)
    .addOption(
      new Option('--review-answers <how>', 'the two answers to a review’s opening')
        .choices(['sampled', 'review'] as const)
        .default('sampled' as const),
    )
    .option('--opening-words <n>', 'words of a review that are its prompt', positiveInteger, 8)
    .option('--max-new-tokens <n>', 'length limit of sampled answers', positiveInteger, 128)
    .option('--max-length <n>', 'tokens of prompt and answer together', positiveInteger, 512)
    .option('--seed <n>', 'of the sampling', wholeNumber, 0)
    .addOption(computeTypeOption())
    .option('--device <device>', DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--output <dir>', 'where the figures, report.html and report.json go', 'runs/dispersion')
    .action(async (options) => {
      const { runDispersion, writeDispersionReport } = await import('../../experiments/index.ts');
      const { hubData, openModel } = await import('../model.ts');
      const loaded = await openModel(context, options);
      const interrupt = context.interruptible('Stopping.');
      let progress: { key: string; bar: Progress } | undefined;
      try {
        const report = await runDispersion({
          loaded,
          data: options.data.map(namedSource),
          rows: options.rows,
          reviewAnswers: options.reviewAnswers,
          openingWords: options.openingWords,
          maxNewTokens: options.maxNewTokens,
          maxLength: options.maxLength,
          seed: options.seed,
          reading: { ...readingOptions('auto', {}), hub: await hubData(context) },
          signal: interrupt.signal,
          onProgress: ({ label, phase, done, total }) => {
            const key = `${label}: ${phase}`;
            if (progress?.key !== key) {
              progress?.bar.finish();
              progress = { key, bar: new Progress(context, { unit: key }) };
            }
            progress.bar.update({ done, total, fields: [] });
          },
        });
        progress?.bar.finish();
        await writeDispersionReport(options.output, report);
        announceReport(context, options.output, report);
      } catch (error) {
        throw asInterrupted(error, interrupt.signal, 'Interrupted; nothing was written.');
      } finally {
        interrupt.release();
        loaded.model.dispose();
      }
    });
}

/** `IMDB=reviews.csv` names a data set; a path by itself names itself. */
function namedSource(text: string): { label?: string; source: string } {
  const [, label, source] = /^([\p{L}\p{N} _-]+)=(.+)$/u.exec(text) ?? [];
  return label !== undefined && source !== undefined ? { label, source } : { source: text };
}
