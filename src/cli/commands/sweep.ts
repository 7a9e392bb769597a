import { join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { TrainingError } from '../../errors.ts';
import { collect, command, positiveInteger, wholeNumber } from '../command.ts';
import type { CliContext } from '../context.ts';
import { Interrupted } from '../errors.ts';
import { MODEL_HELP } from '../options.ts';
import { plainLine } from '../paint.ts';

export function sweepCommand(context: CliContext): CommandUnknownOpts {
  return command(context, 'sweep', 'train a grid of settings over seeds, and compare them', [
    'mallows sweep recipe.yaml --grid objective.name=dpo,mallows-theta --grid objective.beta=0.05,0.1 --seeds 5',
    'mallows sweep recipe.yaml --grid optimizer.lr=5e-7,1e-6 --parallel 2 --output runs/rates',
  ])
    .argument('[recipe]', 'YAML file, or the name of a recipe of the package')
    .requiredOption('--grid <key=v1,v2>', 'a key of the recipe and its values; may be repeated', collect)
    .option('--seeds <n>', 'runs of each cell, from the recipe’s seed upwards', positiveInteger, 1)
    .option('--parallel <n>', 'runs at the same time', positiveInteger, 1)
    .option('--retries <n>', 'further attempts at a run that fails', wholeNumber, 1)
    .option('--metric <name>', 'what cells are compared by, on held-out pairs', 'rewards/accuracies')
    .option('--lower-is-better', 'the metric’s small values are good (so for losses and KL)')
    .option('--baseline <cell>', 'test every comparable cell against this one only')
    .option('--no-control', 'no shuffled-dispersion control beside objectives that use dispersion')
    .option(
      '--set <key=value>',
      'set any key of the recipe, or remove it with null; may be repeated',
      collect,
    )
    .option('--model <model>', MODEL_HELP)
    .option('--data <data>', 'preference pairs')
    .option('--eval-data <data>', 'held-out pairs (default: a tenth of the data)')
    .option('--output <dir>', 'where runs and reports go; an interrupted sweep goes on there', 'runs/sweep')
    .action(async (recipe, options) => {
      const { availableParallelism } = await import('node:os');
      const { sweepReport, sweepVerdict, writeSweepReport } = await import('../../experiments/index.ts');
      const { comparable, parseGrid, planSweep, requireCell } = await import('../sweep/plan.ts');
      const { runSweep } = await import('../sweep/run.ts');
      const { collectResults } = await import('../sweep/results.ts');
      const { findRecipe } = await import('../training.ts');
      const file = await findRecipe(recipe);
      const given = { model: options.model, data: options.data, eval_data: options.evalData };
      const set = [
        ...(options.set ?? []),
        ...Object.entries(given).flatMap(([key, value]) =>
          value === undefined ? [] : [`${key}=${JSON.stringify(value)}`],
        ),
      ];
      const grid = options.grid.map(parseGrid);
      const plan = planSweep({
        file,
        set,
        grid,
        seeds: options.seeds,
        output: options.output,
        controls: options.control,
      });
      const { baseline = null } = options;
      if (baseline !== null) requireCell(baseline, plan.cells);
      const controls = plan.cells.filter(({ control }) => control).map(({ name }) => name);
      context.note(
        `${plan.cells.length} cells${controls.length > 0 ? `, ${controls.length} of them shuffled-dispersion controls` : ''}, ${options.seeds} seeds: ${plan.runs.length} runs`,
      );
      const kill = new AbortController();
      const interrupt = context.interruptible(
        'Running trainings save a checkpoint and stop; press Ctrl-C again to kill them.',
        () => kill.abort(),
      );
      let settled = 0;
      const outcomes = await runSweep({
        command: [process.execPath, ...process.execArgv, process.argv[1]!],
        runs: plan.runs,
        parallel: options.parallel,
        retries: options.retries,
        threads: Math.max(1, Math.floor(availableParallelism() / options.parallel)),
        signal: interrupt.signal,
        kill: kill.signal,
        onEvent: (event) => {
          if (event.type === 'start' && event.attempt > 1) {
            context.note(
              context.paint.yellow(`${event.run.cell}, seed ${event.run.seed}: attempt ${event.attempt}`),
            );
          }
          if (event.type !== 'outcome') return;
          const { run, status, error } = event.outcome;
          context.note(`[${++settled}/${plan.runs.length}] ${run.cell}, seed ${run.seed}: ${status}`);
          if (error !== undefined) context.note(context.paint.red(`  ${plainLine(error, 400)}`));
          context.emit({ event: 'run', cell: run.cell, seed: run.seed, status, path: run.path });
        },
      }).finally(() => interrupt.release());
      const metric = options.metric.replace(/^eval_/, '');
      const report = sweepReport({
        settings: {
          recipe: file ?? null,
          set,
          grid: Object.fromEntries(grid.map(({ key, values }) => [key, values])),
          seeds: options.seeds,
          metric,
          baseline,
          higherIsBetter: options.lowerIsBetter !== true && !/loss|kl|perplexity/.test(metric),
          controls,
        },
        ...collectResults(outcomes),
        compares: comparable(plan.cells),
      });
      await writeSweepReport(options.output, report);
      for (const sentence of sweepVerdict(report)) context.print(sentence);
      context.note(`wrote ${join(options.output, 'report.html')}`);
      context.emit({ event: 'done', output: options.output, cells: report.cells, failed: report.failed });
      const { failed, unfinished } = report;
      if (interrupt.signal.aborted && unfinished.length > 0) {
        throw new Interrupted('Interrupted. Go on with the same command.');
      }
      if (failed.length > 0) {
        throw new TrainingError('sweep-runs-failed', `${failed.length} of ${plan.runs.length} runs failed.`, {
          hint: 'Their last words are in the report, all of them beside each run directory (.log). The same command tries them again.',
        });
      }
      if (unfinished.length > 0) {
        throw new TrainingError(
          'sweep-runs-stopped',
          `${unfinished.length} of ${plan.runs.length} runs were stopped from outside.`,
          { hint: 'The same command goes on with them.' },
        );
      }
    });
}
