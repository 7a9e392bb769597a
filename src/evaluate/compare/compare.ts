import { clusterBootstrap, holm, pairedPermutationTest, sumClusters } from '../../stats/index.ts';
import { crossedDifference, crossedInterval, type Difference, type RunValues } from './crossed-bootstrap.ts';
import {
  formatMetric,
  METRICS,
  type Method,
  type MetricKind,
  type MetricName,
  type MetricValues,
} from './metrics.ts';
import { notesOnEnds } from './run-end.ts';

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

/** A method against the baseline on one metric. */
export interface MetricComparison extends Difference {
  readonly metric: MetricName;
  readonly method: string;
  /** Answers or pairs that every run of both has, and the prompts that they belong to. */
  readonly n: number;
  readonly prompts: number;
  /** Those that only some have, and that are left out. */
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

const SIGNIFICANT = 0.05;

/**
 * Compares methods with the first one, metric by metric, on the prompts that they share: paired bootstrap intervals
 * (with training seeds as a second level where there are several), a paired permutation test for single runs, and
 * Holm's correction over every comparison made.
 */
export function compareMethods(methods: readonly Method[]): ComparisonReport {
  const [baseline, ...others] = methods as [Method, ...Method[]];
  const raw = others.flatMap((method) =>
    METRICS.flatMap(({ name }) => {
      const compared = compareOn(name, baseline, method);
      return compared === undefined ? [] : [compared];
    }),
  );
  const adjusted = holm(raw.map(({ pValue }) => pValue));
  const comparisons = raw.map((each, i) => ({ ...each, adjustedPValue: adjusted[i]! }));
  return {
    baseline: baseline.name,
    methods: methods.map(summariseMethod),
    comparisons,
    verdict: others.map((method) => verdictOn(method.name, baseline.name, comparisons)),
    notes: notesOn(methods, comparisons),
  };
}

function compareOn(
  metric: MetricName,
  baseline: Method,
  method: Method,
): Omit<MetricComparison, 'adjustedPValue'> | undefined {
  const second = valuesOf(method, metric);
  const first = valuesOf(baseline, metric) ?? (second && headToHead(metric, second));
  if (first === undefined || second === undefined) return undefined;
  const all = [...first, ...second];
  const { ids, prompts, count } = sharedBy(all);
  if (count < 2) return undefined;
  return {
    metric,
    method: method.name,
    n: ids.length,
    prompts: count,
    unmatched: new Set(all.flatMap((values) => [...values.keys()])).size - ids.length,
    ...difference(valuesAt(ids, first), valuesAt(ids, second), prompts),
  };
}

/** What all runs measured: ids, the prompt of each, and how many prompts that makes. */
function sharedBy(runs: readonly MetricValues[]): { ids: string[]; prompts: string[]; count: number } {
  const ids = [...runs[0]!.keys()].filter((id) => runs.every((values) => values.has(id)));
  const prompts = ids.map((id) => runs[0]!.get(id)!.prompt);
  return { ids, prompts, count: new Set(prompts).size };
}

function valuesAt(ids: readonly string[], runs: readonly MetricValues[]): RunValues {
  return runs.map((values) => Float64Array.from(ids, (id) => values.get(id)!.value));
}

/**
 * Win rates that only one side has are taken as judged against the baseline itself: what they are held against is then
 * an even match, ½ on every prompt.
 */
function headToHead(metric: MetricName, values: readonly MetricValues[]): MetricValues[] | undefined {
  if (metric !== 'winRate') return undefined;
  return [
    new Map(
      values.flatMap((run) => [...run].map(([id, { prompt }]) => [id, { value: 0.5, prompt }] as const)),
    ),
  ];
}

function difference(first: RunValues, second: RunValues, prompts: readonly string[]): Difference {
  if (first.length > 1 || second.length > 1) return crossedDifference(first, second, prompts);
  const differences = second[0]!.map((value, i) => value - first[0]![i]!);
  const { estimate, low, high } = clusterBootstrap(differences, prompts);
  const { sums } = sumClusters(differences, prompts);
  return { estimate, low, high, pValue: pairedPermutationTest(sums, new Float64Array(sums.length)).pValue };
}

/** The metric of each run; undefined unless all of them have it. */
function valuesOf(method: Method, metric: MetricName): MetricValues[] | undefined {
  const values = method.runs.flatMap((run) => run.metrics[metric] ?? []);
  return values.length === method.runs.length ? values : undefined;
}

function summariseMethod(method: Method): MethodSummary {
  const metrics: Partial<Record<MetricName, MetricEstimate>> = {};
  for (const { name } of METRICS) {
    const values = valuesOf(method, name);
    if (values === undefined) continue;
    const { ids, prompts, count } = sharedBy(values);
    if (ids.length === 0) continue;
    const runs = valuesAt(ids, values);
    const { estimate, low, high } =
      runs.length === 1 && count > 1 ? clusterBootstrap(runs[0]!, prompts) : crossedInterval(runs, prompts);
    metrics[name] = { estimate, interval: count < 2 ? null : [low, high], n: ids.length, prompts: count };
  }
  return { method: method.name, seeds: method.runs.length, metrics };
}

function verdictOn(method: string, baseline: string, comparisons: readonly MetricComparison[]): string {
  const own = comparisons.filter((comparison) => comparison.method === method);
  const judging = METRICS.filter(({ better }) => better !== 'none').flatMap((metric) => {
    const comparison = own.find(({ metric: name }) => name === metric.name);
    return comparison === undefined ? [] : [{ metric: metric as MetricKind, comparison }];
  });
  const [leading, ...rest] = judging;
  if (leading === undefined)
    return `${method} and ${baseline}: nothing that both were measured on tells which is better.`;
  const words = judge(leading.comparison, leading.metric);
  const figure = describeDifference(leading.comparison, leading.metric);
  const head =
    words === 'same'
      ? `No difference shown between ${method} and ${baseline} in ${leading.metric.label} on ${leading.comparison.prompts} prompts: ${figure}`
      : `${method} is ${words} than ${baseline} in ${leading.metric.label}: ${figure}`;
  const others = rest.map((each) => ({ ...each, words: judge(each.comparison, each.metric) }));
  const shown = others
    .filter((each) => each.words !== 'same')
    .map(
      (each) => `${each.words} in ${each.metric.label} (${describeDifference(each.comparison, each.metric)})`,
    );
  const same = others.filter((each) => each.words === 'same').map(({ metric }) => metric.label);
  const tails = [
    shown.length > 0 && `; ${method} is ${shown.join(', ')}`,
    same.length > 0 && `; no difference shown in ${same.join(', ')}`,
  ];
  return `${head}${tails.filter((tail) => tail !== false).join('')}.`;
}

function judge(
  { estimate, adjustedPValue }: MetricComparison,
  { better }: MetricKind,
): 'better' | 'worse' | 'same' {
  if (adjustedPValue >= SIGNIFICANT) return 'same';
  return estimate > 0 === (better === 'higher') ? 'better' : 'worse';
}

/** `+3.2 points, 95 % interval 0.4 to 6.0, p = 0.03`. */
function describeDifference(comparison: MetricComparison, kind: MetricKind): string {
  const { unit } = kind;
  const number = (value: number) => formatMetric(value, kind);
  const estimate = number(comparison.estimate);
  const sign = estimate.startsWith('-') ? '' : '+';
  const points = unit === '%' ? ' points' : unit === '' ? '' : ` ${unit}`;
  const p = comparison.adjustedPValue;
  return (
    `${sign}${estimate}${points}, 95 % interval ${number(comparison.low)} to ${number(comparison.high)}, ` +
    `p ${p < 0.001 ? '< 0.001' : `= ${p.toPrecision(2)}`}`
  );
}

function notesOn(methods: readonly Method[], comparisons: readonly MetricComparison[]): string[] {
  const notes = notesOnEnds(methods.flatMap(({ runs }) => runs));
  if (comparisons.length > 1)
    notes.push(`p-values are corrected for ${comparisons.length} comparisons (Holm).`);
  if (methods.some(({ runs }) => runs.length === 1)) {
    notes.push(
      'A method with one run says nothing about the luck of training: train more seeds to cover it.',
    );
  }
  const [baseline, ...others] = methods as [Method, ...Method[]];
  if (valuesOf(baseline, 'winRate') === undefined) {
    for (const method of others) {
      if (valuesOf(method, 'winRate') === undefined) continue;
      notes.push(
        `The win rate of ${method.name} is taken to be against ${baseline.name}, which has none of its own.`,
      );
    }
  }
  for (const { metric, method, n, unmatched } of comparisons) {
    if (unmatched > 0)
      notes.push(`${metric} of ${method}: ${n} rows shared, ${unmatched} in some runs only, left out.`);
  }
  return notes;
}
