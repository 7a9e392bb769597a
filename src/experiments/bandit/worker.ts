import { parentPort } from 'node:worker_threads';
import { type BanditRun, trainBandit } from './train.ts';

/** Trains one bandit a message. */
parentPort?.on('message', (run: BanditRun) => parentPort?.postMessage(trainBandit(run)));
