import { crossedMean, holm, mean, type SeedRuns } from '../../stats/index.ts';
import { alikeInAccuracy } from './accuracy.ts';
import { compareThirds, type ThirdComparison } from './by-thirds.ts';
import type { JudgedPairs } from './judged.ts';
import { METRICS, type Method, type MetricComparison, type MetricKind, type MetricName } from './metrics.ts';
import {
  contestOf,
  differenceOn,
  holdOutTheSame,
  type PairedMetric,
  pairRows,
  valuesAt,
  valuesOf,
} from './pairing.ts';
import { notesOn, verdictOn } from './verdict.ts';
import type { PromptWeights } from './weights.ts';

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
  /** What the win rate leaves out, by run; empty where none was judged. */
  readonly judged: readonly ({ readonly run: string } & JudgedPairs)[];
}

export interface ComparisonReport {
  readonly baseline: string;
  readonly methods: readonly MethodSummary[];
  readonly comparisons: readonly MetricComparison[];
  /** Differences by thirds of w(x), of every metric that judges; empty where w(x) is not known. */
  readonly thirds: readonly ThirdComparison[];
  /** The answer in words, one sentence a method. */
  readonly verdict: readonly string[];
  /** What the figures do not cover. */
  readonly notes: readonly string[];
}

export interface CompareOptions {
  /** w(x) of what was measured, for the differences by thirds. Default: it is not known. */
  readonly weights?: PromptWeights;
}

/**
 * Compares methods with the first one, metric by metric, on the prompts that they share (`crossedDifference`: single runs
 * by prompts, several by training seeds too), with Holm's correction over every comparison made. A metric that only some of
 * two methods' runs have is not compared: which runs lack it is said, as leaving them out would choose among the runs.
 * Held-out accuracy is by log-ratios for all runs, or for none.
 */
export function compareMethods(given: readonly Method[], options: CompareOptions = {}): ComparisonReport {
  const { methods, lacking } = alikeInAccuracy(given);
  const [baseline, ...others] = methods as [Method, ...Method[]];
  const contests = others.map((method) => contestOf(baseline, method, lacking.length > 0));
  const raw = contests.flatMap(({ paired }) => paired.flatMap((each) => compareOn(each) ?? []));
  const adjusted = holm(raw.map(({ pValue }) => pValue));
  const comparisons = raw.map((each, i) => ({ ...each, adjustedPValue: adjusted[i]! }));
  return {
    baseline: baseline.name,
    methods: methods.map(summariseMethod),
    comparisons,
    thirds: options.weights === undefined ? [] : compareThirds(contests, options.weights),
    verdict: contests.map((contest) => verdictOn(contest, baseline.name, comparisons)),
    notes: [
      ...notesOn(methods, contests, comparisons),
      ...(lacking.length > 0
        ? [
            `Held-out accuracy goes by the reward of each run's own objective, as there are no log-ratios in ${lacking.join(', ')}.`,
          ]
        : []),
    ],
  };
}

function compareOn(paired: PairedMetric): Omit<MetricComparison, 'adjustedPValue'> | undefined {
  const { kind, method, first, second, ids, count, all, range } = paired;
  const difference = differenceOn(paired, first, second, range);
  return (
    difference && {
      metric: kind.name,
      method,
      n: ids.length,
      prompts: count,
      unmatched: all - ids.length,
      ...difference,
    }
  );
}

function summariseMethod(method: Method): MethodSummary {
  const metrics: Partial<Record<MetricName, MetricEstimate>> = {};
  for (const kind of METRICS) {
    const values = valuesOf(method, kind.name);
    if (values === undefined) continue;
    const { ids, prompts, count } = pairRows(values, kind.heldOut && holdOutTheSame(method.runs));
    if (ids.length === 0) continue;
    metrics[kind.name] = {
      ...estimateOf(valuesAt(ids, values), prompts, count, kind),
      n: ids.length,
      prompts: count,
    };
  }
  return {
    method: method.name,
    seeds: method.runs.length,
    metrics,
    judged: method.runs.flatMap(({ path, judged }) =>
      judged === undefined ? [] : [{ run: path, ...judged }],
    ),
  };
}

function estimateOf(
  runs: SeedRuns,
  prompts: readonly string[],
  count: number,
  { range }: MetricKind,
): Pick<MetricEstimate, 'estimate' | 'interval'> {
  if (count < 2) return { estimate: mean(runs.map(mean)), interval: null };
  const { estimate, low, high } = crossedMean(runs, prompts, range && { range });
  return { estimate, interval: [low, high] };
}
