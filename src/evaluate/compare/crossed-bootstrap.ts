import { mean, RandomStream, sortedQuantile, sumClusters } from '../../stats/index.ts';

/** What a method's runs measured on the same items: `runs[seed][item]`. */
export type RunValues = readonly Float64Array[];

export interface CrossedInterval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

export interface Difference extends CrossedInterval {
  readonly pValue: number;
}

export interface CrossedOptions {
  readonly seed?: number | string;
  readonly resamples?: number;
  readonly confidence?: number;
}

/**
 * Mean of a method that was trained under several seeds and measured on the same items, `prompts[item]` naming an item's
 * prompt. Prompts are drawn with all their items, and training seeds are drawn too, so the interval covers both.
 */
export function crossedInterval(
  runs: RunValues,
  prompts: readonly string[],
  options: CrossedOptions = {},
): CrossedInterval {
  const draws = drawMeans([runs], prompts, options, ([mean]) => mean!);
  return intervalOf(meanOf(runs), draws, options);
}

/**
 * Difference of two methods' means, second − first, on the same items. Prompts are drawn together for both methods (a pair
 * stays a pair) and training seeds of each method apart. The two-sided p-value is the same bootstrap's: twice the share of
 * draws on the other side of zero, never below 2/(resamples + 1).
 */
export function crossedDifference(
  first: RunValues,
  second: RunValues,
  prompts: readonly string[],
  options: CrossedOptions = {},
): Difference {
  const draws = drawMeans([first, second], prompts, options, ([a, b]) => b! - a!);
  const atMostZero = draws.filter((value) => value <= 0).length;
  const atLeastZero = draws.filter((value) => value >= 0).length;
  return {
    ...intervalOf(meanOf(second) - meanOf(first), draws, options),
    pValue: Math.min(1, (2 * (1 + Math.min(atMostZero, atLeastZero))) / (draws.length + 1)),
  };
}

/** A statistic of the methods' means under resampling, sorted. */
function drawMeans(
  methods: readonly RunValues[],
  prompts: readonly string[],
  { seed = 0, resamples = 10_000 }: CrossedOptions,
  statistic: (means: readonly number[]) => number,
): Float64Array {
  const { sizes } = sumClusters(methods[0]![0]!, prompts);
  const sums = methods.map((runs) => runs.map((values) => sumClusters(values, prompts).sums));
  const stream = RandomStream.create(seed, 'crossed-bootstrap');
  const counts = new Float64Array(sizes.length);
  const draws = new Float64Array(resamples);
  for (let draw = 0; draw < resamples; draw++) {
    counts.fill(0);
    let items = 0;
    for (let i = 0; i < sizes.length; i++) {
      const prompt = stream.integer(sizes.length);
      counts[prompt]!++;
      items += sizes[prompt]!;
    }
    draws[draw] = statistic(sums.map((runs) => sumOfDrawnSeeds(runs, counts, stream) / items));
  }
  return draws.sort();
}

/** Mean over as many drawn seeds as there are, of the sum over drawn prompts. */
function sumOfDrawnSeeds(runs: readonly Float64Array[], counts: Float64Array, stream: RandomStream): number {
  let total = 0;
  for (let s = 0; s < runs.length; s++) {
    const drawn = runs[stream.integer(runs.length)]!;
    for (let i = 0; i < counts.length; i++) total += counts[i]! * drawn[i]!;
  }
  return total / runs.length;
}

function meanOf(runs: RunValues): number {
  return mean(runs.map((values) => mean(values)));
}

function intervalOf(
  estimate: number,
  sortedDraws: Float64Array,
  { confidence = 0.95 }: CrossedOptions,
): CrossedInterval {
  const tail = (1 - confidence) / 2;
  return {
    estimate,
    low: sortedQuantile(sortedDraws, tail),
    high: sortedQuantile(sortedDraws, 1 - tail),
  };
}
