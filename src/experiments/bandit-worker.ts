import { parentPort } from 'node:worker_threads';
import { type BanditRun, trainBandit } from './bandit-train.ts';

/** Trains one bandit a message. */
parentPort?.on('message', ({ index, run }: { index: number; run: BanditRun }) => {
  parentPort?.postMessage({ index, outcome: trainBandit(run) });
});
