import { holm } from '../../stats/index.ts';
import type { Difference, MetricName } from './metrics.ts';
import { type Contest, differenceOn, type PairedMetric } from './pairing.ts';
import { THIRDS, type Third, thirdsOf } from './thirds.ts';
import { type PromptWeights, weightsOf } from './weights.ts';

/** A method against the baseline on one metric, on the rows whose w(x) is in one third. */
export interface ThirdComparison extends Difference {
  readonly metric: MetricName;
  readonly method: string;
  readonly third: Third;
  /** Smallest and largest w(x) in it. */
  readonly w: readonly [number, number];
  readonly n: number;
  readonly prompts: number;
  /** Holm's adjustment over all thirds of the report. */
  readonly adjustedPValue: number;
}

/** The differences of every metric that judges, by thirds of the rows that every run has and whose w(x) is known. */
export function compareThirds(contests: readonly Contest[], weights: PromptWeights): ThirdComparison[] {
  const raw = contests.flatMap(({ paired }) =>
    paired.filter(({ kind }) => kind.better !== 'none').flatMap((each) => thirdsIn(each, weights)),
  );
  const adjusted = holm(raw.map(({ pValue }) => pValue));
  return raw.map((each, i) => ({ ...each, adjustedPValue: adjusted[i]! }));
}

function thirdsIn(paired: PairedMetric, weights: PromptWeights): Omit<ThirdComparison, 'adjustedPValue'>[] {
  const { kind, method, first, second, range } = paired;
  const known = weightsOf(weights, kind);
  if (known === undefined) return [];
  const w = paired.ids.map((id) => known.get(id));
  const thirds = thirdsOf(w);
  return THIRDS.flatMap((third) => {
    const rows = [...thirds.keys()].filter((row) => thirds[row] === third);
    const ids = rows.map((row) => paired.ids[row]!);
    const prompts = rows.map((row) => paired.prompts[row]!);
    const count = new Set(prompts).size;
    const difference = differenceOn({ ids, prompts, count }, first, second, range);
    if (difference === undefined) return [];
    const own = rows.map((row) => w[row]!).sort((a, b) => a - b);
    return {
      metric: kind.name,
      method,
      third,
      w: [own[0]!, own.at(-1)!] as const,
      n: ids.length,
      prompts: count,
      ...difference,
    };
  });
}
