import { type DispersionRow, fitDispersion } from '../../objectives/dispersion.ts';
import { correlate, mean, RandomStream, standardDeviation } from '../../stats/index.ts';
import { estimateClaims } from './claims.ts';
import type { EstimateCorrelation, EstimateOptions, EstimatePoint, EstimateReport } from './contract.ts';
import { drawRanking, kendallDistance, nextItemEntropy } from './mallows-model.ts';

/**
 * `mallows reproduce estimate`: Figure 3 of MallowsPO. Does the neg-log dispersion estimate follow the true −log φ when
 * the answers come from a Mallows-φ model?
 *
 * The paper does not say how entropies arise from rankings; this is our reading. A ranking of n items is a text of n
 * tokens over a vocabulary of n. For each φ, rankings are drawn by repeated insertion; a prompt is a few of them, its
 * chosen answer the best (nearest to the central ranking), its rejected one the worst. Two estimates are made of them:
 *  - `drawn`: Eq. 11 as printed. The entropy of token i + 1 given token i, at that position, in the drawn rankings,
 *    averaged along both answers.
 *  - `model`: as the method is used on language models. The entropy of the next token given the whole prefix, under the
 *    Mallows model itself, which plays the reference. It is known exactly and is the same for every prefix.
 * Both go through the estimator that training uses: h, −log h, and φ* so that the mean over all prompts is 1.
 */

/** 30 values over [.1, 3]: φ from .9 to .05. */
const NEG_LOG_PHIS = Array.from({ length: 30 }, (_, i) => Number((0.1 * (i + 1)).toFixed(10)));

/** Entropy of the item at each place given the item before it, from drawn rankings: `[place][item before]`, nats. */
function followingEntropies(rankings: readonly (readonly number[])[], items: number): Float64Array[] {
  return Array.from({ length: items - 1 }, (_, place) => {
    const counts = new Float64Array(items * items);
    for (const ranking of rankings) {
      const cell = ranking[place]! * items + ranking[place + 1]!;
      counts[cell] = counts[cell]! + 1;
    }
    return Float64Array.from({ length: items }, (_, before) => {
      const row = counts.subarray(before * items, (before + 1) * items);
      const total = row.reduce((sum, count) => sum + count, 0);
      return row.reduce(
        (entropy, count) => (count > 0 ? entropy - (count / total) * Math.log(count / total) : entropy),
        0,
      );
    });
  });
}

interface PromptSet {
  readonly negLogPhi: number;
  readonly drawn: readonly DispersionRow[];
  readonly model: DispersionRow;
}

function drawPrompts(
  negLogPhi: number,
  settings: Required<EstimateOptions>,
  stream: RandomStream,
): PromptSet {
  const { items, rankings: count, prompts, answers } = settings;
  const phi = Math.exp(-negLogPhi);
  const rankings = Array.from({ length: count }, () => drawRanking(items, phi, stream));
  const entropies = followingEntropies(rankings, items);
  const along = (ranking: readonly number[]): number =>
    mean(entropies.map((byItem, place) => byItem[ranking[place]!]!));
  const drawn = Array.from({ length: prompts }, (_, prompt): DispersionRow => {
    const offered = Array.from({ length: answers }, () => rankings[stream.integer(count)]!).sort(
      (a, b) => kendallDistance(a) - kendallDistance(b),
    );
    return {
      id: `φ = ${phi.toPrecision(3)}, prompt ${prompt}`,
      chosenEntropy: along(offered[0]!),
      rejectedEntropy: along(offered.at(-1)!),
    };
  });
  const entropy = mean(Array.from({ length: items }, (_, placed) => nextItemEntropy(items - placed, phi)));
  return {
    negLogPhi,
    drawn,
    model: { id: `φ = ${phi.toPrecision(3)}`, chosenEntropy: entropy, rejectedEntropy: entropy },
  };
}

/** Runs the experiment. Deterministic for a seed. */
export function runEstimate(options: EstimateOptions = {}): EstimateReport {
  const settings: Required<EstimateOptions> = {
    items: 8,
    negLogPhis: NEG_LOG_PHIS,
    rankings: 4000,
    prompts: 50,
    answers: 5,
    seed: 0,
    ...options,
  };
  const { items, prompts, negLogPhis, seed } = settings;
  const stream = RandomStream.create(seed, 'estimate');
  const sets = negLogPhis.map((negLogPhi) =>
    drawPrompts(negLogPhi, settings, stream.stream(String(negLogPhi))),
  );
  const source = { source: 'entropy', vocabularySize: items } as const;
  const drawn = fitDispersion(
    sets.flatMap((set) => set.drawn),
    source,
  );
  const model = fitDispersion(
    sets.map((set) => set.model),
    source,
  );
  const points = sets.map(({ negLogPhi }, i): EstimatePoint => {
    const own = drawn.weights.subarray(i * prompts, (i + 1) * prompts);
    return {
      negLogPhi,
      phi: Math.exp(-negLogPhi),
      drawn: { mean: mean(own), sd: standardDeviation(own) },
      model: model.weights[i]!,
    };
  });
  const correlations = (['drawn', 'model'] as const).flatMap((estimator) =>
    (['pearson', 'spearman', 'kendall'] as const).map(
      (kind): EstimateCorrelation => ({
        estimator,
        kind,
        interval: correlate(
          kind,
          points.map((point) => point.negLogPhi),
          points.map((point) => (estimator === 'drawn' ? point.drawn.mean : point.model)),
          { seed, resamples: 2000 },
        ),
      }),
    ),
  );
  return {
    experiment: 'estimate',
    settings,
    phiStar: { drawn: drawn.model.phiStar, model: model.model.phiStar },
    points,
    correlations,
    ...estimateClaims(points, correlations),
  };
}
