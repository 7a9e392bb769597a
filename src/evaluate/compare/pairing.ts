import { type CrossedDifference, crossedDifference, type SeedRuns } from '../../stats/index.ts';
import { accuracyKinds } from './accuracy.ts';
import {
  differenceRange,
  METRICS,
  type Measurement,
  type Method,
  type MetricKind,
  type MetricName,
  type MetricValues,
  type Range,
  type RunEvidence,
} from './metrics.ts';

/** Rows of several runs, put side by side. */
export interface Paired {
  /** Rows that every run has, of the same prompt. */
  readonly ids: readonly string[];
  /** The prompt of each, and how many prompts that makes. */
  readonly prompts: readonly string[];
  readonly count: number;
  /** Ids that any run has. */
  readonly all: number;
  /** Ids that stand for one prompt in one run and for another in another run: rows without an id are numbered. */
  readonly otherPrompts: readonly string[];
}

/**
 * Pairs what runs measured by id. Rows whose file does not name their prompt are taken to be of the others' prompt.
 *
 * @param oneSource whether all are known to be of the same rows. Where then no id has one prompt in all runs, it is the names
 * of prompts that differ, as between versions that make them otherwise, and those of the first run stand
 */
export function pairRows(runs: readonly MetricValues[], oneSource = false): Paired {
  const paired = pairNamed(runs);
  const [first, ...others] = runs;
  if (!oneSource || paired.ids.length > 0 || first === undefined) return paired;
  const nameless = others.map(
    (values) => new Map([...values].map(([id, { value }]) => [id, { value, prompt: id }] as const)),
  );
  return pairNamed([first, ...nameless]);
}

function pairNamed(runs: readonly MetricValues[]): Paired {
  const all = new Set(runs.flatMap((values) => [...values.keys()]));
  const ids: string[] = [];
  const prompts: string[] = [];
  const otherPrompts: string[] = [];
  for (const id of all) {
    const rows = runs.flatMap((values) => values.get(id) ?? []);
    const named = new Set(rows.filter((row) => namesPrompt(row, id)).map(({ prompt }) => prompt));
    if (named.size > 1) otherPrompts.push(id);
    else if (rows.length === runs.length) {
      ids.push(id);
      const [prompt = id] = named;
      prompts.push(prompt);
    }
  }
  return { ids, prompts, count: new Set(prompts).size, all: all.size, otherPrompts };
}

/** Without the prompt, a row counts as a prompt of its own. */
function namesPrompt({ prompt }: Measurement, id: string): boolean {
  return prompt !== id;
}

/** The rows' values, a run each: what `crossedDifference` takes. */
export function valuesAt(ids: readonly string[], runs: readonly MetricValues[]): SeedRuns {
  return runs.map((values) => Float64Array.from(ids, (id) => values.get(id)!.value));
}

/** Second less first on the rows that all their runs share; undefined for less than two prompts. */
export function differenceOn(
  { ids, prompts, count }: Pick<Paired, 'ids' | 'prompts' | 'count'>,
  first: readonly MetricValues[],
  second: readonly MetricValues[],
  range?: Range,
): CrossedDifference | undefined {
  if (count < 2) return undefined;
  return crossedDifference(valuesAt(ids, first), valuesAt(ids, second), prompts, range && { range });
}

/** A method and the baseline: what both were measured on, and what cannot be compared. */
export interface Contest {
  readonly method: Method;
  readonly paired: readonly PairedMetric[];
  readonly passedOver: readonly PassedOver[];
  /** Whether the method's win rate is taken to be against the baseline. */
  readonly headToHead: boolean;
}

export interface PairedMetric extends Paired {
  readonly kind: MetricKind;
  readonly method: string;
  readonly first: readonly MetricValues[];
  readonly second: readonly MetricValues[];
  /** Least and largest difference that there can be. */
  readonly range?: Range;
}

/** A metric that is not compared, although some runs have it. */
export interface PassedOver {
  readonly kind: MetricKind;
  /** For people. */
  readonly why: string;
}

/** `byReward`: accuracies go by each run's own reward, so that only those of one kind of reward are compared. */
export function contestOf(baseline: Method, method: Method, byReward: boolean): Contest {
  const paired: PairedMetric[] = [];
  const passedOver: PassedOver[] = [];
  const headToHead = isHeadToHead(baseline, method);
  const oneSource = holdOutTheSame([...baseline.runs, ...method.runs]);
  const rewards = byReward ? accuracyKinds([baseline, method]) : [];
  for (const kind of METRICS) {
    const second = valuesOf(method, kind.name);
    const first = kind.name === 'winRate' && headToHead ? evenMatch(second!) : valuesOf(baseline, kind.name);
    if (first !== undefined && second !== undefined) {
      if (kind.name === 'accuracy' && rewards.length > 1) {
        passedOver.push({ kind, why: `it goes by rewards of different kinds: ${rewards.join(', ')}` });
        continue;
      }
      const range = kind.name === 'winRate' && headToHead ? HEAD_TO_HEAD : differenceRange(kind);
      paired.push({
        kind,
        method: method.name,
        first,
        second,
        ...pairRows([...first, ...second], kind.heldOut && oneSource),
        ...(range && { range }),
      });
    } else if ([baseline, method].some(({ runs }) => runs.some((run) => has(run, kind.name)))) {
      const lacking = expectedToHave(kind.name, baseline, method)
        .flatMap((each) => lackingIn(each, kind.name))
        .join(', ');
      passedOver.push({ kind, why: `missing from ${lacking}` });
    }
  }
  return { method, paired, passedOver, headToHead };
}

/** Whether all runs say what file they hold out, and it is one. */
export function holdOutTheSame(runs: readonly RunEvidence[]): boolean {
  const [hash, ...others] = new Set(runs.map(({ heldOutHash }) => heldOutHash));
  return hash !== undefined && others.length === 0;
}

/** Of a win rate against the baseline itself from an even match. */
const HEAD_TO_HEAD: Range = [-0.5, 0.5];

/** A baseline that nobody judged lacks nothing: verdicts on the method are against the baseline itself. */
function expectedToHave(metric: MetricName, baseline: Method, method: Method): Method[] {
  const unjudged = metric === 'winRate' && !baseline.runs.some((run) => has(run, metric));
  return unjudged ? [method] : [baseline, method];
}

function has({ metrics }: RunEvidence, metric: MetricName): boolean {
  return metrics[metric] !== undefined;
}

/** The runs of a method that lack a metric, by path; the method's name where all do. */
function lackingIn({ name, runs }: Method, metric: MetricName): string[] {
  const lacking = runs.filter((run) => !has(run, metric));
  return lacking.length === runs.length ? [name] : lacking.map(({ path }) => path);
}

/** Verdicts on every run of the method and on none of the baseline are taken to be against the baseline itself. */
function isHeadToHead(baseline: Method, method: Method): boolean {
  return valuesOf(method, 'winRate') !== undefined && !baseline.runs.some((run) => has(run, 'winRate'));
}

/** What a win rate against the baseline itself is held against: ½ on every prompt, in every run, as it owes nothing to luck. */
function evenMatch(values: readonly MetricValues[]): MetricValues[] {
  const even = new Map(
    values.flatMap((run) => [...run].map(([id, { prompt }]) => [id, { value: 0.5, prompt }] as const)),
  );
  return values.map(() => even);
}

/** The metric of each run; undefined unless all of them have it. */
export function valuesOf(method: Method, metric: MetricName): MetricValues[] | undefined {
  const values = method.runs.flatMap((run) => run.metrics[metric] ?? []);
  return values.length === method.runs.length ? values : undefined;
}
