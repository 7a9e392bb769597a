import { UsageError } from '../../errors.ts';
import { differenceOn, pairRows } from '../../evaluate/compare/pairing.ts';
import { holm, mean, pairedPermutationTest, pairedTTest, standardDeviation } from '../../stats/index.ts';
import type { SweepCell, SweepComparison, SweepOptions, SweepRun, SweepSummary } from './contract.ts';

/** Means of equal values in another order differ by rounding. */
const ROUNDING = 1e-12;

/**
 * Mean ± sd over seeds for each cell, the best cells, and tests over the seeds that two cells share. Where every run says
 * what its value is the mean of, a test covers held-out prompts and the luck of training; else the seeds alone.
 */
export function summarizeSweep(
  runs: readonly SweepRun[],
  { higherIsBetter, baseline, compares = () => true, range }: SweepOptions,
): SweepSummary {
  const byCell = groupRuns(runs);
  const cells = [...byCell].map(([cell, bySeed]): SweepCell => {
    const values = [...bySeed.values()].map(({ value }) => value);
    return { cell, seeds: values.length, mean: mean(values), sd: standardDeviation(values) };
  });
  if (cells.length === 0) {
    throw new UsageError('sweep-empty', 'A sweep without finished runs has nothing to compare.', {
      hint: 'Wait for runs to finish, or look at why they failed.',
    });
  }
  const names = cells.map(({ cell }) => cell);
  if (baseline !== undefined && !byCell.has(baseline)) {
    throw new UsageError('sweep-baseline', `There is no cell '${baseline}' to compare with.`, {
      hint: `Choose one of: ${names.join(', ')}.`,
    });
  }
  const tested: Omit<SweepComparison, 'pValue'>[] = [];
  const pValues: number[] = [];
  const unmeasured: (readonly [string, string])[] = [];
  for (const [first, second] of pairsOf(names, baseline).filter(([a, b]) => compares(a, b))) {
    const [own, other] = [byCell.get(first)!, byCell.get(second)!];
    const seeds = [...own.keys()].filter((seed) => other.has(seed));
    if (seeds.length < 2) {
      unmeasured.push([first, second]);
      continue;
    }
    const [ownRuns, otherRuns] = [own, other].map((each) => seeds.map((seed) => each.get(seed)!));
    const { pValue, ...test } = testRows(ownRuns!, otherRuns!, range) ?? testSeeds(ownRuns!, otherRuns!);
    tested.push({ first, second, seeds: seeds.length, ...test });
    pValues.push(pValue);
  }
  const adjusted = holm(pValues);
  return {
    cells,
    best: bestOf(cells, higherIsBetter),
    comparisons: tested.map((one, i) => ({ ...one, pValue: adjusted[i]! })),
    unmeasured,
  };
}

/** Runs of each cell by their seed. */
function groupRuns(runs: readonly SweepRun[]): Map<string, Map<string, SweepRun>> {
  const byCell = new Map<string, Map<string, SweepRun>>();
  for (const run of runs) {
    const { cell, seed } = run;
    const bySeed = byCell.get(cell) ?? new Map<string, SweepRun>();
    if (bySeed.has(String(seed))) {
      throw new UsageError('sweep-duplicate', `Cell '${cell}' has two runs with seed ${seed}.`, {
        hint: 'Give each run of a cell its own seed.',
      });
    }
    byCell.set(cell, bySeed.set(String(seed), run));
  }
  return byCell;
}

function pairsOf(
  names: readonly string[],
  baseline: string | undefined,
): (readonly [first: string, second: string])[] {
  return baseline === undefined
    ? names.flatMap((first, i) => names.slice(i + 1).map((second) => [first, second] as const))
    : names.filter((name) => name !== baseline).map((name) => [name, baseline] as const);
}

function bestOf(cells: readonly SweepCell[], higherIsBetter: boolean): SweepCell[] {
  const means = cells.map((cell) => cell.mean);
  const best = higherIsBetter ? Math.max(...means) : Math.min(...means);
  return cells.filter((cell) => Math.abs(cell.mean - best) <= ROUNDING * Math.abs(best));
}

type SweepTest = Omit<SweepComparison, 'first' | 'second' | 'seeds'>;

/** Over seeds and prompts; undefined unless every run has rows and they share those of two prompts. */
function testRows(
  own: readonly SweepRun[],
  other: readonly SweepRun[],
  range: SweepOptions['range'],
): SweepTest | undefined {
  const [ownRows, otherRows] = [own, other].map((runs) => runs.flatMap(({ rows }) => rows ?? []));
  if (ownRows!.length < own.length || otherRows!.length < other.length) return undefined;
  const paired = pairRows([...ownRows!, ...otherRows!]);
  const compared = differenceOn(paired, otherRows!, ownRows!, range);
  if (compared === undefined) return undefined;
  const { estimate, low, high, pValue } = compared;
  return {
    difference: estimate,
    interval: [low, high],
    kind: 'seeds-and-prompts',
    prompts: paired.count,
    unmatched: paired.all - paired.ids.length,
    pValue,
  };
}

function testSeeds(own: readonly SweepRun[], other: readonly SweepRun[]): SweepTest {
  const [first, second] = [own, other].map((runs) => runs.map(({ value }) => value));
  const { difference, interval, pValue } = pairedTTest(first!, second!);
  const common = { difference, interval, prompts: null, unmatched: 0 };
  return interval === null
    ? { ...common, kind: 'sign-flip', pValue: pairedPermutationTest(first!, second!).pValue }
    : { ...common, kind: 't', pValue };
}
