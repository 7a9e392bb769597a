import { canonicalJson } from '../../data/index.ts';
import { DataError } from '../../errors.ts';
import { decisiveValues, type MetricsRecord, RunReader } from '../../runs/index.ts';
import { mean } from '../../stats/index.ts';
import { nameGroups } from './evidence.ts';
import { LOG_RATIO_ACCURACY, REWARD_ACCURACY, readHeldOut } from './held-out.ts';
import { rewardKind } from './reward-kind.ts';
import { notesOnEnds, type RunEnd } from './run-end.ts';

/** How far a model has moved from its reference, and what that bought. */
export interface FrontierPoint {
  /** On-policy KL to the reference, nats an answer. */
  readonly kl: number;
  readonly value: number;
  /** Training step, or β when the frontier runs over β. */
  readonly at: number;
  /** Runs (seeds) that the point is a mean of. */
  readonly runs: number;
}

export interface Frontier {
  /** The objective and what tells it from the others: β, `shuffled` for a control, else the run's name. */
  readonly method: string;
  /** What was bought. */
  readonly metric: string;
  readonly points: readonly FrontierPoint[];
  /** Runs that did not go as far as the points take them for, and lines that cannot be compared with this one. */
  readonly notes: readonly string[];
}

export interface FrontierOptions {
  /**
   * What is bought, a name in `metrics.jsonl` without its `eval_`. Default: `log_ratio/accuracies`, which is alike for all
   * objectives; `rewards/accuracies` where some evaluation has no log-ratios.
   */
  readonly metric?: string;
  /** Along training (default), or the ends of runs that differ in β. */
  readonly over?: 'steps' | 'beta';
}

interface DrawnMethod {
  readonly name: string;
  /** What its accuracies go by, if by its own rewards. */
  readonly reward: string;
  readonly points: Map<number, { readonly kl: number; readonly value: number }[]>;
  readonly ends: RunEnd[];
}

const KL = 'eval_kl/on_policy';

interface TrainedRecipe {
  readonly objective?: {
    readonly name?: string;
    readonly beta?: number;
    readonly [option: string]: unknown;
  };
  readonly dispersion?: { readonly shuffle?: boolean };
}

/**
 * Value against KL, a line a method. Along training a method is a recipe without its seed and its points are the
 * evaluations, averaged over seeds; over β it is a recipe without seed and β, and its points are the ends of runs.
 */
export function frontiers(runPaths: readonly string[], options: FrontierOptions = {}): Frontier[] {
  const { over = 'steps' } = options;
  const metric = options.metric ?? (runPaths.every(hasLogRatios) ? LOG_RATIO_ACCURACY : REWARD_ACCURACY);
  const methods = new Map<string, DrawnMethod>();
  for (const path of runPaths) {
    const { seed: _, ...rest } = decisiveValues(new RunReader(path).recipe());
    const recipe: TrainedRecipe = rest;
    const { beta, ...objective } = recipe.objective ?? {};
    const key = canonicalJson(over === 'beta' ? { ...recipe, objective } : recipe);
    const method: DrawnMethod = methods.get(key) ?? {
      name: nameOf(recipe, over),
      reward: rewardKind(recipe.objective),
      points: new Map(),
      ends: [],
    };
    methods.set(key, method);
    const evaluations = evaluationsOf(path, metric);
    method.ends.push({ path, step: evaluations.at(-1)?.step, finished: new RunReader(path).hasModel() });
    for (const { step, kl, value } of over === 'beta' ? evaluations.slice(-1) : evaluations) {
      const at = over === 'beta' ? requiredBeta(path, beta) : step;
      method.points.set(at, [...(method.points.get(at) ?? []), { kl, value }]);
    }
  }
  const drawn = [...methods.values()];
  const names = tellApart(drawn, over);
  const rewards = [...new Set(drawn.map(({ reward }) => reward))];
  return drawn.map(({ reward, points, ends }, i) => ({
    method: names[i]!,
    metric,
    points: [...points]
      .sort(([a], [b]) => a - b)
      .map(([at, each]) => ({
        at,
        kl: mean(each.map(({ kl }) => kl)),
        value: mean(each.map(({ value }) => value)),
        runs: each.length,
      })),
    notes: [
      ...notesOnEnds(ends),
      ...(metric === REWARD_ACCURACY && rewards.length > 1
        ? [
            `${names[i]}: ${REWARD_ACCURACY} go by ${reward}; lines by another reward cannot be compared with it.`,
          ]
        : []),
    ],
  }));
}

function nameOf({ objective, dispersion }: TrainedRecipe, over: FrontierOptions['over']): string {
  return [
    objective?.name,
    dispersion?.shuffle === true && 'shuffled',
    over === 'steps' && objective?.beta !== undefined && `β = ${objective.beta}`,
  ]
    .filter((part) => part !== false)
    .join(', ');
}

/** Adds the run's name where recipes of one name differ in something else. */
function tellApart(methods: readonly DrawnMethod[], over: FrontierOptions['over']): string[] {
  const paths = methods.map(({ ends }) => ends.map(({ path }) => path));
  const runs = over === 'beta' ? nameGroups(paths, nameOfSeveral) : nameGroups(paths);
  return methods.map(({ name }, i) =>
    methods.filter((other) => other.name === name).length > 1 ? `${name} (${runs[i]})` : name,
  );
}

/** Runs over β differ in more than their seed, so that a number at the end of a name is no seed. */
function nameOfSeveral(first: string, count: number): string {
  return count === 1 ? first : `${first} and ${count - 1} more`;
}

function evaluationsOf(path: string, metric: string): { step: number; kl: number; value: number }[] {
  const records = new RunReader(path).metrics();
  const points = records.flatMap((record) => {
    const [kl, value] = [record[KL], boughtAt(record, path, metric)];
    return typeof kl === 'number' && typeof value === 'number' ? [{ step: record.step, kl, value }] : [];
  });
  if (points.length > 0) return points;
  throw new DataError(
    'no-frontier',
    `${path} has no evaluation with both the KL to the reference and ${metric}; it has ${evaluated(records)}.`,
    { hint: 'Train with held-out pairs, eval.every and eval.kl_samples above 0.' },
  );
}

function boughtAt(record: MetricsRecord, path: string, metric: string): unknown {
  if (metric !== LOG_RATIO_ACCURACY) return record[`eval_${metric}`];
  const pairs = readHeldOut(path, record.step)[LOG_RATIO_ACCURACY];
  return pairs && mean([...pairs.values()].map(({ value }) => value));
}

/** Whether log-ratios are there of every evaluation that a point is drawn of. */
function hasLogRatios(path: string): boolean {
  return new RunReader(path)
    .metrics()
    .filter((record) => record[KL] !== undefined)
    .every(({ step }) => readHeldOut(path, step)[LOG_RATIO_ACCURACY] !== undefined);
}

function evaluated(records: readonly MetricsRecord[]): string {
  const names = new Set(
    records.flatMap((record) => Object.keys(record)).filter((name) => name.startsWith('eval_')),
  );
  return [...names].map((name) => name.slice('eval_'.length)).join(', ') || 'no evaluations';
}

function requiredBeta(path: string, beta: number | undefined): number {
  if (beta !== undefined) return beta;
  throw new DataError('no-beta', `The recipe of ${path} has no objective.beta to order it by.`);
}
