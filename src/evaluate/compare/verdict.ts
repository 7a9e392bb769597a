import { notesOnJudged } from './judged.ts';
import { formatMetric, METRICS, type Method, type MetricComparison, type MetricKind } from './metrics.ts';
import type { Contest, PairedMetric } from './pairing.ts';
import { notesOnOverlap } from './prompt-overlap.ts';
import { notesOnEnds } from './run-end.ts';

const SIGNIFICANT = 0.05;

/** From so many on, Student's t is near its limit: 3.2 with three degrees of freedom, 12.7 with one. */
const FEW_RUNS = 4;

/** The answer on one method, in a sentence. */
export function verdictOn(
  { method: { name: method }, paired, passedOver: notCompared }: Contest,
  baseline: string,
  comparisons: readonly MetricComparison[],
): string {
  const own = comparisons.filter((comparison) => comparison.method === method);
  const judging = METRICS.filter(({ better }) => better !== 'none').flatMap((metric) => {
    const comparison = own.find(({ metric: name }) => name === metric.name);
    return comparison === undefined ? [] : [{ metric: metric as MetricKind, comparison }];
  });
  const [leading, ...rest] = judging;
  const passedOver = [
    ...notCompared,
    ...paired
      .filter(({ count }) => count < 2)
      .map(({ kind, count }) => ({ kind, why: `the runs share ${count === 0 ? 'no row' : 'one prompt'}` })),
  ]
    .filter(({ kind }) => kind.better !== 'none' && ranksAbove(kind, leading?.metric))
    .map(({ kind, why }) => `; not compared in ${kind.label} (${why})`);
  if (leading === undefined)
    return `${method} and ${baseline}: nothing that both were measured on tells which is better${passedOver.join('')}.`;
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
    ...passedOver,
  ];
  return `${head}${tails.filter((tail) => tail !== false).join('')}.`;
}

/** Whether a metric would have decided the verdict in place of the one that does. */
function ranksAbove(kind: MetricKind, leading: MetricKind | undefined): boolean {
  const rank = ({ name }: MetricKind) => METRICS.findIndex((each) => each.name === name);
  return leading === undefined || rank(kind) < rank(leading);
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

/** What the figures do not cover. */
export function notesOn(
  methods: readonly Method[],
  contests: readonly Contest[],
  comparisons: readonly MetricComparison[],
): string[] {
  const [{ name: baseline }] = methods as [Method];
  const all = methods.flatMap(({ runs }) => runs);
  const notes = [...notesOnEnds(all), ...notesOnOverlap(all), ...notesOnJudged(all)];
  if (comparisons.length > 1)
    notes.push(`p-values are corrected for ${comparisons.length} comparisons (Holm).`);
  if (methods.some(({ runs }) => runs.length === 1)) {
    notes.push(
      'A method with one run says nothing about the luck of training, which is taken to be that of the other method’s runs where it has several: train more seeds to cover it.',
    );
  }
  if (methods.some(({ runs }) => runs.length > 1 && runs.length < FEW_RUNS)) {
    notes.push(
      'Two or three runs of a method say little about the luck of training: intervals are wide where they differ, and more seeds narrow them.',
    );
  }
  for (const { method, paired, passedOver, headToHead } of contests) {
    if (headToHead)
      notes.push(
        `The win rate of ${method.name} is taken to be against ${baseline}, which has none of its own.`,
      );
    const both = `${method.name} and ${baseline}`;
    for (const [why, labels] of groupLabels(passedOver, (each) => each.why)) {
      notes.push(`${both} are not compared in ${labels}: ${why}.`);
    }
    for (const [note, labels] of groupLabels(paired, noteOnRows)) {
      if (note !== '') notes.push(`${both}, ${labels}: ${note}`);
    }
  }
  return notes;
}

/** Labels of the metrics of which the same is to be said. */
function groupLabels<Each extends { readonly kind: MetricKind }>(
  all: readonly Each[],
  key: (each: Each) => string,
): Map<string, string> {
  const labels = new Map<string, string>();
  for (const each of all) {
    const before = labels.get(key(each));
    labels.set(key(each), before === undefined ? each.kind.label : `${before}, ${each.kind.label}`);
  }
  return labels;
}

/** What must be said of rows that a comparison leaves out; empty where there are none. */
function noteOnRows({ kind, ids, all, otherPrompts }: PairedMetric): string {
  if (ids.length === all) return '';
  const [differing] = otherPrompts;
  const sentences = [`${ids.length} of ${all} rows are the same in every run; the others are left out.`];
  if (differing !== undefined)
    sentences.push(`${otherPrompts.length} ids, such as "${differing}", are of different prompts.`);
  if (!kind.heldOut) {
    if (differing !== undefined)
      sentences.push('Measure every run on the same prompts, under ids of their own.');
  } else if (differing === undefined) {
    sentences.push(
      'The runs hold out different pairs: train them with one eval_data and one choice of its rows (eval.max_pairs, max_length), so that every pair counts.',
    );
  } else {
    sentences.push(
      'The runs hold out different data, or read it differently (as chats and as text): train them with one eval_data.',
    );
  }
  return sentences.join(' ');
}
