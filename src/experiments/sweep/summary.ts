import { UsageError } from '../../errors.ts';
import {
  holm,
  mean,
  pairedPermutationTest,
  pairedTTest,
  standardDeviation,
  type TTestResult,
} from '../../stats/index.ts';
import type { SweepCell, SweepComparison, SweepOptions, SweepRun, SweepSummary } from './contract.ts';

/**
 * Mean ± sd over seeds for each cell, the best cell, and paired t-tests over the seeds that two cells share: the same
 * seed draws the same data order, so pairing takes that part of the noise out.
 */
export function summarizeSweep(
  runs: readonly SweepRun[],
  { higherIsBetter, baseline, compares = () => true }: SweepOptions,
): SweepSummary {
  const values = new Map<string, Map<string, number>>();
  for (const { cell, seed, value } of runs) {
    const bySeed = values.get(cell) ?? new Map<string, number>();
    if (bySeed.has(String(seed))) {
      throw new UsageError('sweep-duplicate', `Cell '${cell}' has two runs with seed ${seed}.`, {
        hint: 'Give each run of a cell its own seed.',
      });
    }
    values.set(cell, bySeed.set(String(seed), value));
  }
  const cells = [...values].map(([cell, bySeed]): SweepCell => {
    const found = [...bySeed.values()];
    return { cell, seeds: found.length, mean: mean(found), sd: standardDeviation(found) };
  });
  const sign = higherIsBetter ? 1 : -1;
  const [best] = [...cells].sort((a, b) => sign * (b.mean - a.mean));
  if (best === undefined) {
    throw new UsageError('sweep-empty', 'A sweep without finished runs has nothing to compare.', {
      hint: 'Wait for runs to finish, or look at why they failed.',
    });
  }
  if (baseline !== undefined && !values.has(baseline)) {
    throw new UsageError('sweep-baseline', `There is no cell '${baseline}' to compare with.`, {
      hint: `Choose one of: ${cells.map(({ cell }) => cell).join(', ')}.`,
    });
  }
  const names = cells.map(({ cell }) => cell);
  const all =
    baseline === undefined
      ? names.flatMap((first, i) => names.slice(i + 1).map((second) => [first, second] as const))
      : names.filter((name) => name !== baseline).map((name) => [name, baseline] as const);
  const pairs = all.filter(([first, second]) => compares(first, second));
  const tested: (Omit<SweepComparison, 'pValue'> & { readonly unadjusted: number })[] = [];
  const unmeasured: (readonly [string, string])[] = [];
  for (const [first, second] of pairs) {
    const own = values.get(first)!;
    const other = values.get(second)!;
    const seeds = [...own.keys()].filter((seed) => other.has(seed));
    if (seeds.length < 2) unmeasured.push([first, second]);
    else {
      const compared = testSeeds(
        seeds.map((seed) => own.get(seed)!),
        seeds.map((seed) => other.get(seed)!),
      );
      tested.push({ first, second, ...compared });
    }
  }
  const adjusted = holm(tested.map(({ unadjusted }) => unadjusted));
  const comparisons = tested.map(({ unadjusted: _, ...one }, i) => ({ ...one, pValue: adjusted[i]! }));
  return { cells, best, comparisons, unmeasured };
}

function testSeeds(
  first: readonly number[],
  second: readonly number[],
): { test: TTestResult; kind: SweepComparison['kind']; unadjusted: number } {
  const test = pairedTTest(first, second);
  return test.interval === null
    ? { test, kind: 'sign-flip', unadjusted: pairedPermutationTest(first, second).pValue }
    : { test, kind: 't', unadjusted: test.pValue };
}
