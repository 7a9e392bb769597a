import { UsageError } from '../../errors.ts';
import { type Provenance, RunReader } from '../../runs/index.ts';
import type { PlannedRun, RunInputs } from './plan.ts';

const COMPARED: readonly (readonly [
  what: string,
  input: keyof RunInputs,
  hash: (provenance: Provenance) => string | undefined,
])[] = [
  ['model', 'model', ({ model }) => model?.hash],
  ['training data', 'train', ({ data }) => data?.train?.hash],
  ['held-out data', 'heldOut', ({ data }) => data?.eval?.hash],
];

/**
 * A recipe holds paths, so a run of an earlier sweep may be of other data under the same name. Compares the runs that
 * have begun; a run that goes on compares itself with its own beginning.
 *
 * @throws UsageError `sweep-mixed`.
 */
export function requireOneOrigin(runs: readonly PlannedRun[]): void {
  const begun = runs.flatMap((run) => {
    const provenance = new RunReader(run.path).provenance();
    return provenance === undefined ? [] : [{ run, provenance }];
  });
  const differences: string[] = [];
  for (const [what, input, hash] of COMPARED) {
    const found = new Map<string, Map<string, string[]>>();
    for (const { run, provenance } of begun) {
      const [said, is] = [run.inputs[input], hash(provenance)];
      if (said === undefined || is === undefined) continue;
      const byHash = found.get(said) ?? new Map<string, string[]>();
      found.set(said, byHash.set(is, [...(byHash.get(is) ?? []), run.path]));
    }
    for (const byHash of found.values()) {
      if (byHash.size < 2) continue;
      const groups = [...byHash].map(([is, paths]) => `SHA-256 ${is.slice(0, 12)}… in ${listed(paths)}`);
      differences.push(`${what}: ${groups.join('; ')}`);
    }
  }
  if (differences.length === 0) return;
  throw new UsageError(
    'sweep-mixed',
    `The runs of this sweep did not begin with the same things, so they cannot be compared. ${differences.join('. ')}.`,
    {
      hint: 'Choose another --output, or delete the runs of what is no longer wanted and give the same command again.',
    },
  );
}

const MOST_LISTED = 6;

function listed(paths: readonly string[]): string {
  const shown = paths.slice(0, MOST_LISTED).join(', ');
  return paths.length > MOST_LISTED ? `${shown} and ${paths.length - MOST_LISTED} more` : shown;
}
