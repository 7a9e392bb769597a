import { mean, RandomStream, sortedQuantile } from '../../stats/index.ts';

export interface Difference {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly pValue: number;
}

export interface CrossedOptions {
  readonly seed?: number | string;
  readonly resamples?: number;
  readonly confidence?: number;
}

/**
 * Difference of two methods' means, second − first, when each was trained under several seeds and all of them answered
 * the same prompts: `first[seed][prompt]`. Prompts are drawn together for both methods (a pair stays a pair) and training
 * seeds of each method apart, so the interval covers both the prompts and the luck of training. The two-sided p-value
 * is the same bootstrap's: twice the share of draws on the other side of zero, never below 2/(resamples + 1).
 */
export function crossedBootstrap(
  first: readonly Float64Array[],
  second: readonly Float64Array[],
  { seed = 0, resamples = 10_000, confidence = 0.95 }: CrossedOptions = {},
): Difference {
  const prompts = first[0]!.length;
  const stream = RandomStream.create(seed, 'crossed-bootstrap');
  const counts = new Float64Array(prompts);
  const draws = new Float64Array(resamples);
  for (let draw = 0; draw < resamples; draw++) {
    counts.fill(0);
    for (let i = 0; i < prompts; i++) counts[stream.integer(prompts)]! += 1 / prompts;
    draws[draw] = meanOfDrawnSeeds(second, counts, stream) - meanOfDrawnSeeds(first, counts, stream);
  }
  draws.sort();
  const atMostZero = draws.filter((value) => value <= 0).length;
  const atLeastZero = draws.filter((value) => value >= 0).length;
  const tail = (1 - confidence) / 2;
  return {
    estimate: mean(second.map((values) => mean(values))) - mean(first.map((values) => mean(values))),
    low: sortedQuantile(draws, tail),
    high: sortedQuantile(draws, 1 - tail),
    pValue: Math.min(1, (2 * (1 + Math.min(atMostZero, atLeastZero))) / (resamples + 1)),
  };
}

function meanOfDrawnSeeds(
  values: readonly Float64Array[],
  weights: Float64Array,
  stream: RandomStream,
): number {
  let total = 0;
  for (let s = 0; s < values.length; s++) {
    const drawn = values[stream.integer(values.length)]!;
    for (let i = 0; i < weights.length; i++) total += weights[i]! * drawn[i]!;
  }
  return total / values.length;
}
