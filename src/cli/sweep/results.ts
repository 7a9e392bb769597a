import { type HeldOutValues, LOG_RATIO_ACCURACY, readHeldOut } from '../../evaluate/index.ts';
import type { FailedRun, MeasuredRun, SweepResults } from '../../experiments/index.ts';
import { type MetricsRecord, RunReader } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
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
