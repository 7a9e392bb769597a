import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '../errors.ts';
import { writeFileAtomic } from './files.ts';
import { readJsonLines } from './jsonl.ts';

/** What an evaluation found for one held-out pair: a line of `eval/pairs-step-N.jsonl`. */
export interface PairEvaluationRow {
  readonly id: string;
  readonly loss: number;
  /** Implicit reward of chosen − rejected, in the objective's own units. */
  readonly margin: number;
  /** 1 when the chosen completion has the higher reward, ½ for a tie. */
  readonly accurate: 0 | 0.5 | 1;
  /** log π − log π_ref of each completion, nats; absent without a reference. */
  readonly chosenLogRatio?: number;
  readonly rejectedLogRatio?: number;
}

const NAME = /^pairs-step-(\d+)\.jsonl$/;

/** Keeps an evaluation's pairs, so that runs can be compared pair by pair. */
export function writePairRows(runPath: string, step: number, rows: readonly PairEvaluationRow[]): void {
  const directory = join(runPath, 'eval');
  mkdirSync(directory, { recursive: true });
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileAtomic(join(directory, `pairs-step-${step}.jsonl`), lines);
}

/** The steps whose evaluations were kept, in order. */
export function pairRowSteps(runPath: string): number[] {
  const directory = join(runPath, 'eval');
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** The pairs of the evaluation at `step`; by default of the last one. Throws `DataError` when there is none. */
export function readPairRows(runPath: string, step = pairRowSteps(runPath).at(-1)): PairEvaluationRow[] {
  const path = join(runPath, 'eval', `pairs-step-${step}.jsonl`);
  if (step === undefined || !existsSync(path)) {
    throw new DataError(
      'no-evaluation',
      `${runPath} has no evaluation${step === undefined ? '' : ` at step ${step}`}.`,
      {
        hint: 'Train with held-out pairs: --eval-data, or eval_fraction in the recipe.',
        at: { file: path },
      },
    );
  }
  return readJsonLines(path).records as PairEvaluationRow[];
}
