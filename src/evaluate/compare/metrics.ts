import type { JudgedPairs } from './judged.ts';
import type { PromptOverlap } from './prompt-overlap.ts';
import type { RunEnd } from './run-end.ts';

/** A figure that is known prompt by prompt (or pair by pair), so that models can be compared on the same ones. */
export interface MetricKind {
  readonly name: string;
  /** For tables and verdicts. */
  readonly label: string;
  readonly unit: string;
  /** Which way is better; `none` for figures that describe without judging. */
  readonly better: 'higher' | 'lower' | 'none';
  /** Multiplies stored values for display (shares are shown in points). */
  readonly scale: number;
  readonly digits: number;
  /** Whether it is of the pairs that the run held out, rather than of a file of answers. */
  readonly heldOut: boolean;
  /** Least and largest value that there can be: no interval goes beyond. Absent: any number. */
  readonly range?: Range;
}

export type Range = readonly [least: number, largest: number];

const SHARE: Range = [0, 1];
const FROM_ZERO: Range = [0, Number.POSITIVE_INFINITY];

/** Least and largest value of what `metrics.jsonl` calls by a name; undefined where there is no limit. */
export function loggedRange(name: string): Range | undefined {
  if (name.endsWith('/accuracies')) return SHARE;
  return name === 'kl/on_policy' ? FROM_ZERO : undefined;
}

/** Least and largest difference of two values of a metric; undefined where there is no limit. */
export function differenceRange({ range }: MetricKind): Range | undefined {
  return range && [range[0] - range[1], range[1] - range[0]];
}

/** A value of a metric as tables and verdicts show it, without its unit. */
export function formatMetric(value: number, { scale, digits }: Pick<MetricKind, 'scale' | 'digits'>): string {
  const text = (scale * value).toFixed(digits);
  return Number(text) === 0 ? text.replace('-', '') : text;
}

const kind = (
  name: string,
  label: string,
  unit: string,
  better: MetricKind['better'],
  scale = 1,
  digits = 2,
): MetricKind => ({ name, label, unit, better, scale, digits, heldOut: false });

const heldOut = (of: MetricKind): MetricKind => ({ ...of, heldOut: true });

const within = (range: Range, of: MetricKind): MetricKind => ({ ...of, range });

/** Every metric, the most telling first: the first that is there decides the verdict. */
export const METRICS = [
  within(SHARE, kind('winRate', 'win rate', '%', 'higher', 100, 1)),
  kind('reward', 'reward', '', 'higher', 1, 3),
  heldOut(within(SHARE, kind('accuracy', 'held-out accuracy', '%', 'higher', 100, 1))),
  heldOut(kind('margin', 'log-ratio margin', 'nats', 'higher')),
  heldOut(kind('chosenLogRatio', 'chosen log-ratio', 'nats', 'none')),
  heldOut(within(FROM_ZERO, kind('kl', 'KL to the reference', 'nats', 'none'))),
  within(FROM_ZERO, kind('length', 'answer length', 'characters', 'none', 1, 0)),
  within(SHARE, kind('distinct1', 'distinct words', '%', 'none', 100, 1)),
  within(SHARE, kind('distinct2', 'distinct word pairs', '%', 'none', 100, 1)),
  within(SHARE, kind('selfBleu', 'self-BLEU', '', 'none', 1, 3)),
] as const satisfies readonly MetricKind[];

export type MetricName = (typeof METRICS)[number]['name'];

/** A figure of one answer or pair. */
export interface Measurement {
  readonly value: number;
  /** Names the prompt: measurements that share one are one piece of evidence. */
  readonly prompt: string;
}

/** Measurements by the id of the pair or prompt. */
export type MetricValues = ReadonlyMap<string, Measurement>;

/** One trained model and what is known of it. Held-out pairs and KL are of its last evaluation. */
export interface RunEvidence extends RunEnd {
  readonly seed: number | undefined;
  /** SHA-256 of the file of held-out pairs. Absent where they are a share of the training data, or the run does not say. */
  readonly heldOutHash?: string;
  /** Absent where the run's provenance does not say. */
  readonly promptOverlap?: PromptOverlap;
  /** Of the file that the win rate is of; absent where there is none. */
  readonly judged?: JudgedPairs;
  /** Held-out accuracy by the objective's own reward, for where some run has no log-ratios; `kind` says what that is. */
  readonly rewardAccuracy?: { readonly kind: string; readonly values: MetricValues };
  readonly metrics: Readonly<Partial<Record<MetricName, MetricValues>>>;
}

/** Runs that differ by their seed alone. */
export interface Method {
  readonly name: string;
  readonly runs: readonly RunEvidence[];
}

/** A difference of means with its 95 % interval, and the p-value of there being none. */
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
