import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type BanditOutcome, type BanditRun, trainBandit } from './bandit-train.ts';

export interface PoolOptions {
  /** Worker threads; 0 trains in the calling thread. Default: one a core, at most eight. */
  readonly workers?: number;
  readonly onDone?: (done: number, total: number) => void;
}

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
  const outcomes = new Array<BanditOutcome>(runs.length);
  let next = 0;
  let done = 0;
  const serve = async (): Promise<void> => {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./bandit-worker.${extension}`, import.meta.url));
    try {
      await new Promise<void>((resolve, reject) => {
        const give = (): void => {
          const index = next++;
          if (index < runs.length) worker.postMessage({ index, run: runs[index] });
          else resolve();
        };
        worker.on('message', ({ index, outcome }: { index: number; outcome: BanditOutcome }) => {
          outcomes[index] = outcome;
          onDone?.(++done, runs.length);
          give();
        });
        worker.on('error', reject);
        give();
      });
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(workers, runs.length) }, serve));
  return outcomes;
}
