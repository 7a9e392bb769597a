import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { findRecipe, writtenRecipe } from '../../config/index.ts';
import { TrainingError } from '../../errors.ts';
import { metricScale } from '../../evaluate/index.ts';
import {
  type MeasuredRun,
  type SweepReport,
  sweepAccuracy,
  sweepReport,
  sweepVerdict,
  writeSweepReport,
} from '../../experiments/index.ts';
import type { CliContext } from '../context.ts';
import { Interrupted } from '../errors.ts';
import { plainLine } from '../paint.ts';
import { notesOnEarlierRuns } from './earlier-runs.ts';
import { comparable, type GridAxis, parseGrid, planSweep, requireCell, type SweepPlan } from './plan.ts';
import { collectResults, requireMetric } from './results.ts';
import { type RunOutcome, runSweep, type SweepEvent } from './run.ts';

export interface SweepFlags {
  readonly grid: readonly string[];
  readonly seeds: number;
  readonly parallel: number;
  readonly retries: number;
  readonly metric?: string;
  readonly lowerIsBetter?: boolean;
  readonly baseline?: string;
  readonly control: boolean;
  readonly set?: readonly string[];
  readonly model?: string;
  readonly data?: string;
  readonly evalData?: string;
  readonly output: string;
}

/** What is swept, by the command line. */
interface Sweep {
  /** Recipe file, found. */
  readonly file: string | undefined;
  readonly set: readonly string[];
  readonly grid: readonly GridAxis[];
}

/** Plans a sweep, trains its runs and writes the report; the whole of the command. */
export async function sweepRecipe(
  context: CliContext,
  recipeArgument: string | undefined,
  flags: SweepFlags,
): Promise<void> {
  const sweep: Sweep = {
    file: findRecipe(recipeArgument),
    set: assignments(flags),
    grid: flags.grid.map(parseGrid),
  };
  const { seeds, output, control: controls, baseline } = flags;
  const plan = planSweep({ ...sweep, seeds, output, controls });
  if (baseline !== undefined) requireCell(baseline, plan.cells);
  notePlan(context, plan, seeds);
  for (const note of notesOnEarlierRuns(plan, output)) context.note(context.paint.yellow(note));
  const { outcomes, interrupted } = await trainAll(context, plan, flags);
  const results = collectResults(outcomes);
  const objectives = new Map(plan.cells.map(({ name, recipe }) => [name, writtenRecipe(recipe).objective]));
  const report = sweepReport({
    settings: settingsOf(sweep, plan, flags, results.runs),
    ...results,
    compares: comparable(plan.cells),
    scaleOf: (cell, metric) => metricScale(metric, objectives.get(cell)),
  });
  await writeSweepReport(output, report);
  for (const sentence of sweepVerdict(report)) context.print(sentence);
  context.note(`wrote ${join(output, 'report.html')}`);
  context.emit({ event: 'done', output, cells: report.cells, failed: report.failed });
  requireFinished(report, plan.runs.length, interrupted);
}

function assignments({ set = [], model, data, evalData }: SweepFlags): string[] {
  const given = Object.entries({ model, data, eval_data: evalData });
  return [
    ...set,
    ...given.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${JSON.stringify(value)}`])),
  ];
}

const controlsOf = ({ cells }: SweepPlan): string[] =>
  cells.filter(({ control }) => control).map(({ name }) => name);

function notePlan(context: CliContext, plan: SweepPlan, seeds: number): void {
  const controls = controlsOf(plan).length;
  const ofThem = controls > 0 ? `, ${controls} of them shuffled-dispersion controls` : '';
  context.note(
    `${plan.cells.length} cells${ofThem}, ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}: ${plan.runs.length} runs`,
  );
}

async function trainAll(
  context: CliContext,
  { runs }: SweepPlan,
  { parallel, retries, metric: asked }: SweepFlags,
): Promise<{ readonly outcomes: readonly RunOutcome[]; readonly interrupted: boolean }> {
  const kill = new AbortController();
  const { signal, release } = context.interruptible(
    'Running trainings save a checkpoint and stop; press Ctrl-C again to kill them.',
    () => kill.abort(),
  );
  try {
    const outcomes = await runSweep({
      command: [process.execPath, ...process.execArgv, process.argv[1]!],
      runs,
      parallel,
      retries,
      threads: Math.max(1, Math.floor(availableParallelism() / parallel)),
      signal,
      kill: kill.signal,
      ...(asked !== undefined && { checkRun: (run) => requireMetric(run, plainMetric(asked)) }),
      onEvent: showSweep(context, runs.length),
    });
    return { outcomes, interrupted: signal.aborted };
  } finally {
    release();
  }
}

/** Shows the events of a sweep to people, and passes what became of its runs to programs. */
function showSweep(context: CliContext, total: number): (event: SweepEvent) => void {
  let settled = 0;
  return (event) => {
    if (event.type === 'start' && event.attempt > 1) {
      const { cell, seed } = event.run;
      context.note(context.paint.yellow(`${cell}, seed ${seed}: attempt ${event.attempt}`));
    }
    if (event.type !== 'outcome') return;
    const { run, status, error } = event.outcome;
    context.note(`[${++settled}/${total}] ${run.cell}, seed ${run.seed}: ${status}`);
    if (error !== undefined) context.note(context.paint.red(`  ${plainLine(error, 400)}`));
    context.emit({ event: 'run', cell: run.cell, seed: run.seed, status, path: run.path });
  };
}

/** As `metrics.jsonl` names it, without its `eval_`. */
const plainMetric = (asked: string): string => asked.replace(/^eval_/, '');

function settingsOf(
  { file, set, grid }: Sweep,
  plan: SweepPlan,
  { seeds, metric: asked, baseline, lowerIsBetter }: SweepFlags,
  runs: readonly MeasuredRun[],
): SweepReport['settings'] {
  const metric = asked === undefined ? sweepAccuracy(runs) : plainMetric(asked);
  return {
    recipe: file ?? null,
    set,
    grid: Object.fromEntries(grid.map(({ key, values }) => [key, values])),
    seeds,
    metric,
    baseline: baseline ?? null,
    higherIsBetter: lowerIsBetter !== true && !/loss|kl|perplexity/.test(metric),
    controls: controlsOf(plan),
  };
}

/** @throws Interrupted, or TrainingError `sweep-runs-failed` or `sweep-runs-stopped`, unless every run has finished. */
function requireFinished({ failed, unfinished }: SweepReport, runs: number, interrupted: boolean): void {
  if (interrupted && unfinished.length > 0) {
    throw new Interrupted('Interrupted. Go on with the same command.');
  }
  if (failed.length > 0) {
    throw new TrainingError('sweep-runs-failed', `${failed.length} of ${runs} runs failed.`, {
      hint: 'Their last words are in the report, all of them in logs/ of the sweep. The same command tries them again.',
    });
  }
  if (unfinished.length > 0) {
    throw new TrainingError(
      'sweep-runs-stopped',
      `${unfinished.length} of ${runs} runs were stopped from outside.`,
      { hint: 'The same command goes on with them.' },
    );
  }
}
