import { type CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import type { Device } from '../../engine/index.ts';
import { collect, command, positiveInteger } from '../command.ts';
import type { CliContext } from '../context.ts';
import { MODEL_HELP } from '../options.ts';
import { announceReport } from './reproduce-report.ts';

export function imdbCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'imdb', 'positive reviews: reward against KL (section 5.3, Figure 8c)', [
    'mallows reproduce imdb --data reviews.csv.gz',
    'mallows reproduce imdb --data reviews.csv --set training.betas=[0.1] --set frontier.prompts=64',
    'mallows reproduce imdb --data hf:stanfordnlp/imdb:train --scale paper --dtype bf16 --output runs/imdb',
  ])
    .requiredOption(
      '--data <reviews>',
      '{review, sentiment} or {text, label}: .csv, .jsonl, .parquet, hf:owner/name',
    )
    .addOption(
      new Option('--scale <scale>', 'settings to start from')
        .choices(['small', 'paper'] as const)
        .default('small' as const),
    )
    .option('--model <model>', `${MODEL_HELP} (default: the scale’s)`)
    .option(
      '--classifier <model>',
      'a sequence-classification checkpoint (default: one is trained on the reviews)',
    )
    .option('--set <key=value>', 'set any of the scale’s settings; may be repeated', collect)
    .option('--settings', 'print the settings and stop')
    .addOption(
      new Option('--dtype <dtype>', 'compute type')
        .choices(['auto', 'fp32', 'bf16'] as const)
        .default('auto' as const),
    )
    .option('--device <device>', 'auto, cpu, cuda, cuda:N, mps', 'auto')
    .option('--threads <n>', 'CPU threads (default: all cores)', positiveInteger)
    .option('--output <dir>', 'where stages, runs and report go; the same command goes on there', 'runs/imdb')
    .action(async (options) => {
      const { IMDB_SCALES, runImdb, writeImdbReport } = await import('../../experiments/index.ts');
      const { overrideSettings } = await import('../experiment-settings.ts');
      const { runExperiment } = await import('../experiment-run.ts');
      const { hubData } = await import('../model.ts');
      const settings = overrideSettings(IMDB_SCALES[options.scale], [
        ...(options.model === undefined ? [] : [`model=${JSON.stringify(options.model)}`]),
        ...(options.classifier === undefined
          ? []
          : [`classifier.model=${JSON.stringify(options.classifier)}`]),
        ...(options.set ?? []),
      ]);
      if (options.settings === true) {
        context.print(JSON.stringify(settings, null, 2));
        context.emit(settings);
        return;
      }
      const hub = await hubData(context);
      const report = await runExperiment(context, (watch) =>
        runImdb({
          ...watch,
          data: options.data,
          output: options.output,
          settings,
          scale: options.scale,
          reading: { hub },
          dtype: options.dtype,
          device: options.device as Device | 'auto',
          ...(options.threads !== undefined && { threads: options.threads }),
        }),
      );
      await writeImdbReport(options.output, report);
      announceReport(context, options.output, report);
    });
}
