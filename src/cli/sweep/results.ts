import { UsageError } from '../../errors.ts';
import { type HeldOutValues, LOG_RATIO_ACCURACY, readHeldOut } from '../../evaluate/index.ts';
import type { FailedRun, MeasuredRun, SweepResults } from '../../experiments/index.ts';
import { type MetricsRecord, RunReader } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
import { suggest } from '../../suggest.ts';
import type { PlannedRun } from './plan.ts';
import type { RunOutcome } from './run.ts';

/** What finished runs measured last, and what became of the others. */
export function collectResults(
  outcomes: readonly RunOutcome[],
): Pick<SweepResults, 'runs' | 'failed' | 'unfinished'> {
  const runs: MeasuredRun[] = [];
  const failed: FailedRun[] = [];
  const unfinished: { cell: string; seed: number }[] = [];
  for (const { run, status, attempts, error = '' } of outcomes) {
    const { cell, seed, path } = run;
    if (status === 'failed') failed.push({ cell, seed, path, attempts, error });
    else if (status === 'interrupted') unfinished.push({ cell, seed });
    else runs.push({ cell, seed, path, ...measuredLast(path) });
  }
  return { runs, failed, unfinished };
}

/** @throws UsageError `sweep-metric` where the run's last evaluation lacks what cells are to be compared by */
export function requireMetric({ path }: Pick<PlannedRun, 'path'>, metric: string): void {
  const names = Object.keys(measuredLast(path).metrics);
  if (names.includes(metric)) return;
  const near = suggest(metric, names);
  throw new UsageError(
    'sweep-metric',
    `${path} was not measured by ${metric}; on held-out pairs it has ${names.join(', ') || 'no evaluation'}.`,
    {
      hint: `${near === undefined ? '' : `Did you mean ${near}? `}What is trained is kept: give the same command with another --metric.`,
    },
  );
}

function measuredLast(path: string): Pick<MeasuredRun, 'metrics' | 'heldOut'> {
  const last = new RunReader(path).lastEvaluation();
  if (last === undefined) return { metrics: {} };
  const heldOut = readHeldOut(path, last.step);
  return { metrics: { ...evaluated(last), ...accuracyOf(heldOut) }, heldOut };
}

function evaluated(record: MetricsRecord): Record<string, number> {
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name.startsWith('eval_') && typeof value === 'number'
        ? [[name.slice('eval_'.length), value] as const]
        : [],
    ),
  );
}

function accuracyOf({ [LOG_RATIO_ACCURACY]: pairs }: HeldOutValues): Record<string, number> {
  if (pairs === undefined) return {};
  return { [LOG_RATIO_ACCURACY]: mean([...pairs.values()].map(({ value }) => value)) };
}
