import { existsSync } from 'node:fs';
import { RunReader } from '../../runs/index.ts';
import { readEvaluationRows } from '../rows.ts';
import type { MetricKind } from './metrics.ts';

/** w(x) by the id of a pair or prompt. */
export interface PromptWeights {
  /** Of the pairs that the runs held out. */
  readonly heldOut: ReadonlyMap<string, number> | undefined;
  /** Of prompts that the runs answered. */
  readonly answers: ReadonlyMap<string, number> | undefined;
}

/**
 * w(x) of held-out pairs as a run wrote it (`eval-dispersion.jsonl`), of answers by the file given, which stands in for the
 * former too where no run has it. What a shuffled control wrote is of other prompts.
 */
export async function readWeights(
  runPaths: readonly string[],
  file: string | undefined,
): Promise<PromptWeights> {
  const given = file === undefined ? undefined : await readWeightFile(file);
  const own = runPaths
    .filter((path) => !isShuffled(path))
    .map((path) => new RunReader(path).file('evalDispersion'))
    .find((path) => existsSync(path));
  return { heldOut: own === undefined ? given : await readWeightFile(own), answers: given };
}

/** The weights of a metric's rows. */
export function weightsOf({ heldOut, answers }: PromptWeights, kind: MetricKind): PromptWeights['heldOut'] {
  return kind.heldOut ? heldOut : answers;
}

function isShuffled(runPath: string): boolean {
  const { dispersion } = new RunReader(runPath).recipe() as {
    readonly dispersion?: { readonly shuffle?: boolean };
  };
  return dispersion?.shuffle === true;
}

/** What `mallows dispersion` and training write. */
async function readWeightFile(path: string): Promise<Map<string, number>> {
  const rows = await readEvaluationRows(path);
  return new Map(rows.map((row) => [String(row.raw('id')), row.number('negLogDispersion')]));
}
