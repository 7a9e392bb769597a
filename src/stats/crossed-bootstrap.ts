import { type BootstrapOptions, type Interval, intervalOfDraws } from './bootstrap.ts';
import { RandomStream } from './random.ts';
import { type Numbers, requireSameLength, requireValues } from './summary.ts';

/** What a method's runs, a training seed each, measured on the same items: `runs[seed][item]`, NaN where one lacks it. */
export type SeedRuns = readonly Numbers[];

export type CrossedOptions = Omit<BootstrapOptions, 'method'>;

export interface CrossedDifference extends Interval {
  /** Two-sided. */
  readonly pValue: number;
}

/**
 * Interval of the mean of a method that was trained under several seeds and measured on the same items, of which
 * `clusters[item]` names the prompt. Seeds and prompts are crossed: a seed's luck moves all prompts together. So one draw of
 * prompts, with all their items, serves every seed of a resample, and seeds are drawn as well. With a single seed the
 * interval says nothing about the luck of training.
 */
export function crossedBootstrap(
  runs: SeedRuns,
  clusters: ArrayLike<unknown>,
  options: CrossedOptions = {},
): Interval {
  const { estimate, draws } = drawMeans([runs], clusters, ([mean]) => mean!, options);
  return intervalOfDraws(draws, estimate, options);
}

/**
 * Interval of the difference of two methods' means, second − first, on the same items. Prompts are drawn together for both
 * (a pair stays a pair) and seeds of each apart. The p-value is twice the share of draws on the other side of zero, and
 * never below what so many draws, or flipping the sign of every prompt, could tell.
 */
export function crossedDifference(
  first: SeedRuns,
  second: SeedRuns,
  clusters: ArrayLike<unknown>,
  options: CrossedOptions = {},
): CrossedDifference {
  const { estimate, draws, prompts } = drawMeans([first, second], clusters, ([a, b]) => b! - a!, options);
  const atMostZero = draws.filter((value) => value <= 0).length;
  const atLeastZero = draws.filter((value) => value >= 0).length;
  const share = (2 * (1 + Math.min(atMostZero, atLeastZero))) / (draws.length + 1);
  return {
    ...intervalOfDraws(draws, estimate, options),
    pValue: Math.min(1, Math.max(share, 2 ** (1 - prompts))),
  };
}

/** A run's items, summed over each prompt. */
interface PromptSums {
  readonly sums: Float64Array;
  readonly sizes: Float64Array;
}

/** A statistic of the methods' means: as measured, and under resampling. */
function drawMeans(
  methods: readonly SeedRuns[],
  clusters: ArrayLike<unknown>,
  statistic: (means: readonly number[]) => number,
  { seed = 0, resamples = 10_000 }: CrossedOptions,
): { estimate: number; draws: Float64Array; prompts: number } {
  const indices = new Map(Array.from(clusters, (cluster) => [cluster, 0]));
  for (const [index, cluster] of [...indices.keys()].entries()) indices.set(cluster, index);
  const promptOf = Int32Array.from(clusters as ArrayLike<never>, (cluster) => indices.get(cluster)!);
  const summed = methods.map((runs) => {
    requireValues(
      runs.map(() => 0),
      1,
      'A bootstrap over seeds and prompts',
    );
    return runs.map((values) => sumPrompts(values, promptOf, indices.size));
  });
  const stream = RandomStream.create(seed, 'crossed-bootstrap');
  const counts = new Float64Array(indices.size).fill(1);
  const estimate = statistic(summed.map((runs) => pooledMean(runs, counts)));
  const draws = new Float64Array(resamples);
  for (let draw = 0; draw < resamples; draw++) {
    counts.fill(0);
    for (let i = 0; i < counts.length; i++) {
      const prompt = stream.integer(counts.length);
      counts[prompt] = counts[prompt]! + 1;
    }
    draws[draw] = statistic(summed.map((runs) => pooledMean(drawSeeds(runs, stream), counts)));
  }
  return { estimate, draws, prompts: indices.size };
}

function sumPrompts(values: Numbers, promptOf: Int32Array, prompts: number): PromptSums {
  requireSameLength(values, promptOf, 'A bootstrap over seeds and prompts');
  const sums = new Float64Array(prompts);
  const sizes = new Float64Array(prompts);
  for (const [item, prompt] of promptOf.entries()) {
    const value = values[item]!;
    if (Number.isNaN(value)) continue;
    sums[prompt] = sums[prompt]! + value;
    sizes[prompt] = sizes[prompt]! + 1;
  }
  return { sums, sizes };
}

/**
 * One seed fewer than there are: as many would make the variance of few seeds' mean too small by the factor (n − 1)/n
 * (McCarthy & Snowden 1985), a half for two.
 */
function drawSeeds(runs: readonly PromptSums[], stream: RandomStream): PromptSums[] {
  return Array.from({ length: Math.max(1, runs.length - 1) }, () => runs[stream.integer(runs.length)]!);
}

/** Mean of all items of the runs, each prompt `counts[prompt]` times. */
function pooledMean(runs: readonly PromptSums[], counts: Float64Array): number {
  let total = 0;
  let items = 0;
  for (const { sums, sizes } of runs) {
    for (let i = 0; i < counts.length; i++) {
      total += counts[i]! * sums[i]!;
      items += counts[i]! * sizes[i]!;
    }
  }
  return total / items;
}
