import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { command, commandGroup, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { announceReport } from '../experiment-report.ts';
import { Progress } from '../progress.ts';
import { alignmentCommand } from './reproduce-alignment.ts';
import { dispersionExperimentCommand } from './reproduce-dispersion.ts';
import { imdbCommand } from './reproduce-imdb.ts';

export function reproduceCommand(context: CliContext): CommandUnknownOpts {
  return commandGroup(
    'reproduce',
    'run an experiment of the paper again, its numbers beside ours',
    ['mallows reproduce bandit --output runs/bandit'],
    [
      banditCommand(context),
      estimateCommand(context),
      dispersionExperimentCommand(context),
      imdbCommand(context),
      alignmentCommand(context, 'hh'),
      alignmentCommand(context, 'ultrafeedback'),
    ],
  );
}

function banditCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'bandit', 'the five-armed bandit of section 5.2 (Figures 8a, 8b, 9)', [
    'mallows reproduce bandit --output runs/bandit',
    'mallows reproduce bandit --epochs 20000 --samples 0 --output /tmp/bandit',
  ])
    .option(
      '--epochs <n>',
      'epochs of SGD; the paper’s statements are judged at its own number',
      positiveInteger,
      500_000,
    )
    .option('--samples <n>', 'fresh draws of 16 pairs, for confidence intervals; 0: none', wholeNumber, 200)
    .option('--threads <n>', 'worker threads (default: one a core, at most 8)', positiveInteger)
    .option('--output <dir>', 'where the figures, report.html and report.json go', 'runs/bandit')
    .action(async (options) => {
      const { runBandit, writeBanditReport } = await import('../../experiments/index.ts');
      const progress = new Progress(context, { unit: 'policy' });
      const report = await runBandit({
        epochs: options.epochs,
        fresh: options.samples === 0 ? false : { samples: options.samples },
        ...(options.threads !== undefined && { workers: options.threads }),
        onDone: (done, total) => progress.update({ done, total, fields: [] }),
      });
      progress.finish();
      await writeBanditReport(options.output, report);
      announceReport(context, options.output, report);
    });
}

function estimateCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'estimate', 'the estimate against a known dispersion (section 3.3, Figure 3)', [
    'mallows reproduce estimate --output runs/estimate',
  ])
    .option('--seed <n>', 'of the rankings', wholeNumber, 0)
    .option('--output <dir>', 'where the figure, report.html and report.json go', 'runs/estimate')
    .action(async ({ seed, output }) => {
      const { runEstimate, writeEstimateReport } = await import('../../experiments/index.ts');
      const report = runEstimate({ seed });
      await writeEstimateReport(output, report);
      announceReport(context, output, report);
    });
}
