import type { FailedRun, MeasuredRun, SweepResults } from '../../experiments/index.ts';
import { readMetrics } from '../../runs/index.ts';
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
    else runs.push({ cell, seed, path, metrics: lastEvaluation(path) });
  }
  return { runs, failed, unfinished };
}

function lastEvaluation(path: string): Record<string, number> {
  const last = readMetrics(path).findLast((record) => record.eval_loss !== undefined) ?? {};
  return Object.fromEntries(
    Object.entries(last).flatMap(([name, value]) =>
      name.startsWith('eval_') && typeof value === 'number'
        ? [[name.slice('eval_'.length), value] as const]
        : [],
    ),
  );
}
