import { availableParallelism } from 'node:os';
import { ThreadPool } from '../../threads.ts';
import type { PoolOptions } from './contract.ts';
import { type BanditOutcome, type BanditRun, trainBandit } from './train.ts';

/** Trains every run; outcomes are in the order of the runs, whatever thread finished first. */
export async function trainAll(
  runs: readonly BanditRun[],
  { workers = Math.min(availableParallelism(), 8), onDone }: PoolOptions = {},
): Promise<BanditOutcome[]> {
  if (workers === 0) {
    return runs.map((run, index) => {
      const outcome = trainBandit(run);
      onDone?.(index + 1, runs.length);
      return outcome;
    });
  }
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = new URL(`./worker.${extension}`, import.meta.url);
  const pool = new ThreadPool<BanditRun, BanditOutcome>(program, Math.min(workers, runs.length));
  let done = 0;
  try {
    return await Promise.all(
      runs.map(async (run) => {
        const outcome = await pool.ask(() => run);
        onDone?.(++done, runs.length);
        return outcome;
      }),
    );
  } finally {
    await pool.close();
  }
}
