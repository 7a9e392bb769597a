import { crossedDifference, crossedMean, holm, mean, type SeedRuns } from '../../stats/index.ts';
import {
  isShare,
  METRICS,
  type Method,
  type MetricComparison,
  type MetricKind,
  type MetricName,
  type MetricValues,
} from './metrics.ts';
import { contestOf, type PairedMetric, pairRows, valuesOf } from './pairing.ts';
import { notesOn, verdictOn } from './verdict.ts';

export interface MetricEstimate {
  readonly estimate: number;
  /** 95 % interval over prompts and, where there are several, training seeds; null for a single prompt. */
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
 * Compares methods with the first one, metric by metric, on the prompts that they share (`crossedDifference`: single runs
 * by prompts, several by training seeds too), with Holm's correction over every comparison made. A metric that only some of two methods' runs have is not compared: which runs lack it is
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
  range,
}: PairedMetric): Omit<MetricComparison, 'adjustedPValue'> | undefined {
  if (count < 2) return undefined;
  return {
    metric: kind.name,
    method,
    n: ids.length,
    prompts: count,
    unmatched: all - ids.length,
    ...crossedDifference(valuesAt(ids, first), valuesAt(ids, second), prompts, range && { range }),
  };
}

function valuesAt(ids: readonly string[], runs: readonly MetricValues[]): SeedRuns {
  return runs.map((values) => Float64Array.from(ids, (id) => values.get(id)!.value));
}

function summariseMethod(method: Method): MethodSummary {
  const metrics: Partial<Record<MetricName, MetricEstimate>> = {};
  for (const kind of METRICS) {
    const values = valuesOf(method, kind.name);
    if (values === undefined) continue;
    const { ids, prompts, count } = pairRows(values);
    if (ids.length === 0) continue;
    metrics[kind.name] = {
      ...estimateOf(valuesAt(ids, values), prompts, count, kind),
      n: ids.length,
      prompts: count,
    };
  }
  return { method: method.name, seeds: method.runs.length, metrics };
}

function estimateOf(
  runs: SeedRuns,
  prompts: readonly string[],
  count: number,
  kind: MetricKind,
): Pick<MetricEstimate, 'estimate' | 'interval'> {
  if (count < 2) return { estimate: mean(runs.map(mean)), interval: null };
  const { estimate, low, high } = crossedMean(runs, prompts, isShare(kind) ? { range: [0, 1] } : {});
  return { estimate, interval: [low, high] };
}
