import {
  clusterBootstrap,
  crossedBootstrap,
  crossedDifference,
  holm,
  pairedPermutationTest,
  type SeedRuns,
  sumClusters,
} from '../../stats/index.ts';
import { METRICS, type Method, type MetricName, type MetricValues } from './metrics.ts';
import { contestOf, type PairedMetric, pairRows, valuesOf } from './pairing.ts';
import { notesOn, verdictOn } from './verdict.ts';

export interface MetricEstimate {
  readonly estimate: number;
  /** 95 % bootstrap interval over prompts and, where there are several, training seeds; null for a single prompt. */
  readonly interval: readonly [number, number] | null;
  /** Answers or pairs, and the prompts that they belong to. */
  readonly n: number;
  readonly prompts: number;
}

export interface MethodSummary {
  readonly method: string;
  readonly seeds: number;
  readonly metrics: Readonly<Partial<Record<MetricName, MetricEstimate>>>;
}

export interface Difference {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly pValue: number;
}

/** A method against the baseline on one metric. */
export interface MetricComparison extends Difference {
  readonly metric: MetricName;
  readonly method: string;
  /** Answers or pairs that every run of both has, and the prompts that they belong to. */
  readonly n: number;
  readonly prompts: number;
  /** Those that only some have, or have under another prompt, and that are left out. */
  readonly unmatched: number;
  /** Holm's adjustment over all comparisons of the report. */
  readonly adjustedPValue: number;
}

export interface ComparisonReport {
  readonly baseline: string;
  readonly methods: readonly MethodSummary[];
  readonly comparisons: readonly MetricComparison[];
  /** The answer in words, one sentence a method. */
  readonly verdict: readonly string[];
  /** What the figures do not cover. */
  readonly notes: readonly string[];
}

/**
 * Compares methods with the first one, metric by metric, on the prompts that they share: paired bootstrap intervals
 * (over training seeds too where there are several), a paired permutation test for single runs, and Holm's correction
 * over every comparison made. A metric that only some of two methods' runs have is not compared: which runs lack it is
 * said, as leaving them out would choose among the runs.
 */
export function compareMethods(methods: readonly Method[]): ComparisonReport {
  const [baseline, ...others] = methods as [Method, ...Method[]];
  const contests = others.map((method) => contestOf(baseline, method));
  const raw = contests.flatMap(({ paired }) => paired.flatMap((each) => compareOn(each) ?? []));
  const adjusted = holm(raw.map(({ pValue }) => pValue));
  const comparisons = raw.map((each, i) => ({ ...each, adjustedPValue: adjusted[i]! }));
  return {
    baseline: baseline.name,
    methods: methods.map(summariseMethod),
    comparisons,
    verdict: contests.map((contest) => verdictOn(contest, baseline.name, comparisons)),
    notes: notesOn(methods, contests, comparisons),
  };
}

function compareOn({
  kind,
  method,
  first,
  second,
  ids,
  prompts,
  count,
  all,
}: PairedMetric): Omit<MetricComparison, 'adjustedPValue'> | undefined {
  if (count < 2) return undefined;
  return {
    metric: kind.name,
    method,
    n: ids.length,
    prompts: count,
    unmatched: all - ids.length,
    ...difference(valuesAt(ids, first), valuesAt(ids, second), prompts),
  };
}

function valuesAt(ids: readonly string[], runs: readonly MetricValues[]): SeedRuns {
  return runs.map((values) => Float64Array.from(ids, (id) => values.get(id)!.value));
}

function difference(first: SeedRuns, second: SeedRuns, prompts: readonly string[]): Difference {
  if (first.length > 1 || second.length > 1) {
    const { estimate, low, high, pValue } = crossedDifference(first, second, prompts);
    return { estimate, low, high, pValue };
  }
  const differences = Float64Array.from(second[0]!, (value, i) => value - first[0]![i]!);
  const { estimate, low, high } = clusterBootstrap(differences, prompts);
  const { sums } = sumClusters(differences, prompts);
  return { estimate, low, high, pValue: pairedPermutationTest(sums, new Float64Array(sums.length)).pValue };
}

function summariseMethod(method: Method): MethodSummary {
  const metrics: Partial<Record<MetricName, MetricEstimate>> = {};
  for (const { name } of METRICS) {
    const values = valuesOf(method, name);
    if (values === undefined) continue;
    const { ids, prompts, count } = pairRows(values);
    if (ids.length === 0) continue;
    const { estimate, low, high } = crossedBootstrap(valuesAt(ids, values), prompts);
    metrics[name] = { estimate, interval: count < 2 ? null : [low, high], n: ids.length, prompts: count };
  }
  return { method: method.name, seeds: method.runs.length, metrics };
}
