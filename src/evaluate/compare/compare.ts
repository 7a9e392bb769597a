import { bootstrap, holm, mean, pairedBootstrap, pairedPermutationTest } from '../../stats/index.ts';
import { crossedBootstrap, type Difference } from './crossed-bootstrap.ts';
import { METRICS, type Method, type MetricKind, type MetricName, type MetricValues } from './metrics.ts';

export interface MetricEstimate {
  readonly estimate: number;
  /** 95 % bootstrap interval over prompts; null for a figure that is known only as a whole. */
  readonly interval: readonly [number, number] | null;
  /** Prompts or pairs. */
  readonly n: number;
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
  /** Prompts or pairs that every run of both has. */
  readonly n: number;
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
  const every = new Set(all.flatMap((values) => [...values.keys()]));
  const shared = [...every].filter((id) => all.every((values) => values.has(id)));
  if (shared.length < 2) return undefined;
  const rows = (from: readonly MetricValues[]) =>
    from.map((values) => Float64Array.from(shared, (id) => values.get(id)!));
  return {
    metric,
    method: method.name,
    n: shared.length,
    unmatched: every.size - shared.length,
    ...difference(rows(first), rows(second)),
  };
}

/**
 * Win rates that only one side has are taken as judged against the baseline itself: what they are held against is then
 * an even match, ½ on every prompt.
 */
function headToHead(metric: MetricName, values: readonly MetricValues[]): MetricValues[] | undefined {
  if (metric !== 'winRate') return undefined;
  return [new Map(values.flatMap((run) => [...run.keys()].map((id) => [id, 0.5] as const)))];
}

function difference(first: readonly Float64Array[], second: readonly Float64Array[]): Difference {
  if (first.length > 1 || second.length > 1) return crossedBootstrap(first, second);
  const [a, b] = [first[0]!, second[0]!];
  const { estimate, low, high } = pairedBootstrap(b, a);
  return { estimate, low, high, pValue: pairedPermutationTest(b, a).pValue };
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
    const perPrompt = meanOverRuns(values);
    if (perPrompt.length === 0) continue;
    metrics[name] = estimateOf(perPrompt);
  }
  return { method: method.name, seeds: method.runs.length, metrics };
}

function estimateOf(values: readonly number[]): MetricEstimate {
  if (values.length === 1) return { estimate: values[0]!, interval: null, n: 1 };
  const { estimate, low, high } = bootstrap(values);
  return { estimate, interval: [low, high], n: values.length };
}

function meanOverRuns(runs: readonly MetricValues[]): number[] {
  return [...runs[0]!.keys()]
    .filter((id) => runs.every((values) => values.has(id)))
    .map((id) => mean(runs.map((values) => values.get(id)!)));
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
      ? `No difference between ${method} and ${baseline} in ${leading.metric.label} that ${leading.comparison.n} prompts can show: ${figure}`
      : `${method} is ${words} than ${baseline} in ${leading.metric.label}: ${figure}`;
  const tails = rest.flatMap(({ metric, comparison }) => {
    const other = judge(comparison, metric);
    return other === 'same'
      ? []
      : [`${other} in ${metric.label} (${describeDifference(comparison, metric)})`];
  });
  return `${head}${tails.length > 0 ? `; also ${tails.join(', ')}` : ''}.`;
}

function judge(
  { estimate, adjustedPValue }: MetricComparison,
  { better }: MetricKind,
): 'better' | 'worse' | 'same' {
  if (adjustedPValue >= SIGNIFICANT) return 'same';
  return estimate > 0 === (better === 'higher') ? 'better' : 'worse';
}

/** `+3.2 % (95 % interval 0.4 to 6.0, p = 0.03)`. */
function describeDifference(comparison: MetricComparison, { scale, digits, unit }: MetricKind): string {
  const number = (value: number) => (scale * value).toFixed(digits);
  const sign = comparison.estimate >= 0 ? '+' : '';
  const points = unit === '%' ? ' points' : unit === '' ? '' : ` ${unit}`;
  const p = comparison.adjustedPValue;
  return (
    `${sign}${number(comparison.estimate)}${points} (95 % interval ${number(comparison.low)} to ${number(comparison.high)}, ` +
    `p ${p < 0.001 ? '< 0.001' : `= ${p.toPrecision(2)}`})`
  );
}

function notesOn(methods: readonly Method[], comparisons: readonly MetricComparison[]): string[] {
  const notes = [];
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
      notes.push(`${metric} of ${method}: ${n} prompts shared, ${unmatched} in some runs only, left out.`);
  }
  return notes;
}
