import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { collect, command } from '../command.ts';
import type { CliContext } from '../context.ts';
import {
  AUTO_DEVICE_HELP,
  pipelineOptions,
  SET_HELP,
  SETTINGS_HELP,
  STAGES_HELP,
  scaleOption,
} from '../experiment-options.ts';
import { announceReport } from '../experiment-report.ts';
import { computeTypeOption, MODEL_HELP, threadsOption } from '../options.ts';

export function imdbCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'imdb', 'positive reviews: reward against KL (section 5.3, Figure 8c)', [
    'mallows reproduce imdb --data reviews.csv.gz',
    'mallows reproduce imdb --data reviews.csv --set training.betas=[0.1] --set frontier.prompts=64',
    'mallows reproduce imdb --data hf:stanfordnlp/imdb:train --scale paper --dtype bf16 --output runs/imdb',
  ])
    .option('--data <reviews>', '{review, sentiment} or {text, label}: .csv, .jsonl, .parquet, hf:owner/name')
    .addOption(
      scaleOption('small: SmolLM2-135M, 8 runs, about 25 min on 2 cores (AMX); paper: GPT-2-large on a GPU'),
    )
    .option('--model <model>', `${MODEL_HELP} (default: the scale’s)`)
    .option(
      '--classifier <model>',
      'a sequence-classification checkpoint (default: one is trained on the reviews)',
    )
    .option('--set <key=value>', SET_HELP, collect)
    .option('--settings', SETTINGS_HELP)
    .addOption(computeTypeOption())
    .option('--device <device>', AUTO_DEVICE_HELP, 'auto')
    .addOption(threadsOption())
    .option('--output <dir>', STAGES_HELP, 'runs/imdb')
    .action(async (options) => {
      const { IMDB_SCALES, runImdb, writeImdbReport } = await import('../../experiments/index.ts');
      const { runExperiment } = await import('../experiment-run.ts');
      const { hubData } = await import('../model.ts');
      const { chosenSettings, requireData } = await import('../experiment-settings.ts');
      const { imdbSchema } = await import('../experiment-schemas.ts');
      const settings = chosenSettings(context, imdbSchema, IMDB_SCALES[options.scale], options, [
        { flag: '--model', path: ['model'], value: options.model },
        { flag: '--classifier', path: ['classifier', 'model'], value: options.classifier },
      ]);
      if (settings === undefined) return;
      const data = requireData(options.data);
      const reading = { hub: await hubData(context) };
      const report = await runExperiment(context, (watch) =>
        runImdb({ ...watch, ...pipelineOptions({ ...options, data }), settings, reading }),
      );
      await writeImdbReport(options.output, report);
      announceReport(context, options.output, report);
    });
}
