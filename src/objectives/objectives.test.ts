import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MallowsError } from '../errors.ts';
import type { CompletionBatch, ObjectiveResult, PairBatch } from './contract.ts';
import {
  createObjective,
  describeObjective,
  type ObjectiveName,
  type ObjectiveOptions,
  objectiveNames,
} from './index.ts';

/** Written by scripts/fixtures/objectives.py. */
const torch = JSON.parse(readFileSync(new URL('./fixtures/torch.json', import.meta.url), 'utf8'));

interface Pair {
  chosen: readonly [logp: number, reference: number, tokens: number, logSumSquares: number];
  rejected: readonly [logp: number, reference: number, tokens: number, logSumSquares: number];
  w: number;
  scoreGap: number;
}

function batchOf(pairs: readonly Pair[]): PairBatch {
  const side = (key: 'chosen' | 'rejected'): CompletionBatch => ({
    logps: Float64Array.from(pairs, (pair) => pair[key][0]),
    referenceLogps: Float64Array.from(pairs, (pair) => pair[key][1]),
    tokens: Float64Array.from(pairs, (pair) => pair[key][2]),
    extras: { logSumSquares: Float64Array.from(pairs, (pair) => pair[key][3]) },
  });
  return {
    chosen: side('chosen'),
    rejected: side('rejected'),
    w: Float64Array.from(pairs, (pair) => pair.w),
    scoreGaps: Float64Array.from(pairs, (pair) => pair.scoreGap),
  };
}

/** Δ = 2 (a_w = 1.5, a_l = −0.5), lengths 4 and 2, w = 1.5, score gap e. */
const worked: Pair = {
  chosen: [-2, -3.5, 4, -3],
  rejected: [-3, -2.5, 2, -2],
  w: 1.5,
  scoreGap: Math.E,
};

const s = (z: number): number => Math.log1p(Math.exp(-z)); // −log σ(z)

/**
 * Hand-worked loss of that pair at β = 0.5 and defaults. In the φ-link: s = 1, t = w, so g = 1/(1 + e^−w).
 * Log-ratio per token: chosen .375, rejected −.25; mean log π: −.5 and −1.5, so their gap is 1.
 */
const byHand = {
  dpo: s(1),
  'mallows-theta': s(1.5),
  'mallows-phi': Math.log1p(Math.exp(-1.5)),
  ipo: (2 - 1) ** 2,
  'mallows-ipo': (3 - 1) ** 2,
  simpo: s(0.5 * (1 - 0.3)),
  'mallows-simpo': s(1.5 * 0.5 * 0.7),
  cdpo: 0.9 * s(1) + 0.1 * s(-1),
  rdpo: (0.9 * s(1) - 0.1 * s(-1)) / 0.8,
  hinge: 0,
  rpo: s(1) + 2 / 4,
  wpo: Math.exp((-2 + 3) / 4 + (-3 + 2) / 2) * s(1),
  cpo: s(0.5) + 0.5,
  orpo:
    0.1 *
      s(Math.log(Math.exp(-0.5) / (1 - Math.exp(-0.5))) - Math.log(Math.exp(-1.5) / (1 - Math.exp(-1.5)))) +
    0.5,
  odpo: s(1 - 1),
  dpop: s(1), // the chosen completion has not fallen
  'beta-dpo': s(0.5 * (1 + 0.6 * 2) * 2),
  'alpha-dpo': s(0.5 * 0.7), // one pair has no spread
  'cal-dpo': s(2) + 0.5 * ((1.5 - 1) ** 2 + (-0.5 + 1) ** 2),
  'dpo-shift': s(0.5 * (1.5 + 0.75 * 0.5)),
  simper: -Math.exp(-0.5) + Math.exp(-1.5),
  exponential: Math.exp(-1),
  cauchy: -Math.log(3 / 4), // F(1) = ½ + ¼
  'f-dpo': s(0.5 * (-s(1.5) + s(-0.5))),
} satisfies Record<ObjectiveName, number>;

function withBeta(name: string, beta = 0.5): ObjectiveOptions {
  return name === 'orpo' || name === 'simper' ? { name } : { name, beta };
}

const allFields: readonly (keyof ObjectiveResult)[] = [
  'losses',
  'chosenSlopes',
  'rejectedSlopes',
  'chosenRewards',
  'rejectedRewards',
];

const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const anyPair: fc.Arbitrary<Pair> = fc
  .record({
    tokens: fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 })),
    perToken: fc.tuple(finite(-4, -0.02), finite(-4, -0.02)),
    ratios: fc.tuple(finite(-6, 6), finite(-6, 6)),
    w: finite(0.05, 4),
    scoreGap: finite(0.05, 8),
    squares: fc.tuple(finite(-3, -0.1), finite(-3, -0.1)),
  })
  .map(({ tokens, perToken, ratios, w, scoreGap, squares }): Pair => {
    const side = (i: 0 | 1): Pair['chosen'] => {
      const logp = tokens[i] * perToken[i];
      return [logp, logp - ratios[i], tokens[i], tokens[i] * squares[i]];
    };
    return { chosen: side(0), rejected: side(1), w, scoreGap };
  });

/** Adds `h` to one side's log-probability and Σ log Σ p², so that WPO's weight, which carries no gradient, stays put. */
function moved(pair: Pair, side: 'chosen' | 'rejected', h: number): Pair {
  const [logp, reference, tokens, squares] = pair[side];
  return { ...pair, [side]: [logp + h, reference, tokens, squares + h] };
}

describe.each(objectiveNames)('%s', (name) => {
  const objective = createObjective(withBeta(name));

  it('has the value worked out by hand', () => {
    expect(objective.evaluate(batchOf([worked])).losses[0]).toBeCloseTo(byHand[name], 13);
  });

  it('has slopes that match central differences in fp64', () => {
    fc.assert(
      fc.property(anyPair, (pair) => {
        // A second, equal pair moves the other way, so that batch statistics without a gradient (β-DPO) stay put.
        // AlphaDPO's spread moves all the same: its slope is held against autograd below and checked here at α = 0.
        const checked = name === 'alpha-dpo' ? createObjective({ ...withBeta(name), alpha: 0 }) : objective;
        const lossAt = (side: 'chosen' | 'rejected', h: number): number =>
          checked.evaluate(batchOf([moved(pair, side, h), moved(pair, side, -h)])).losses[0]!;
        const result = checked.evaluate(batchOf([pair, pair]));
        for (const side of ['chosen', 'rejected'] as const) {
          const slope = (side === 'chosen' ? result.chosenSlopes : result.rejectedSlopes)[0]!;
          const h = 1e-5;
          const forward = (lossAt(side, h) - lossAt(side, 0)) / h;
          const backward = (lossAt(side, 0) - lossAt(side, -h)) / h;
          const size = Math.max(1, Math.abs(slope));
          if (Math.abs(forward - backward) > 0.05 * size) continue; // a kink (hinge, DPOP) within h
          expect(Math.abs(slope - (forward + backward) / 2)).toBeLessThan(1e-5 * size);
        }
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  it('treats pairs alike wherever they stand in the batch', () => {
    fc.assert(
      fc.property(fc.array(anyPair, { minLength: 2, maxLength: 8 }), (pairs) => {
        const straight = objective.evaluate(batchOf(pairs));
        const reversed = objective.evaluate(batchOf([...pairs].reverse()));
        for (const field of allFields) {
          const turned = reversed[field].slice().reverse();
          straight[field].forEach((value, i) => {
            expect(Math.abs(value - turned[i]!)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(value)));
          });
        }
      }),
      { numRuns: 50, seed: 4 },
    );
  });

  it('is the same however a batch is split, unless it says that it is batch-wide', () => {
    const whole = (pairs: readonly Pair[]) => objective.evaluate(batchOf(pairs));
    const split = (pairs: readonly Pair[], cut: number) => {
      const parts = [pairs.slice(0, cut), pairs.slice(cut)].map(whole);
      return Object.fromEntries(
        allFields.map((field) => [field, Float64Array.from(parts.flatMap((part) => [...part[field]]))]),
      );
    };
    if (objective.batchWide === true) {
      const other: Pair = { ...worked, chosen: [-4, -3, 4, -3], rejected: [-2, -2.5, 2, -2] };
      expect(split([worked, other], 1).losses).not.toEqual(whole([worked, other]).losses);
      return;
    }
    fc.assert(
      fc.property(fc.array(anyPair, { minLength: 2, maxLength: 8 }), fc.nat(), (pairs, at) => {
        expect(split(pairs, 1 + (at % (pairs.length - 1)))).toEqual(whole(pairs));
      }),
      { numRuns: 50, seed: 5 },
    );
  });

  it('is finite for extreme log-probabilities', () => {
    const extremes: Pair[] = [
      [0, -1e4],
      [-1e4, 0],
      [-1e4, -1e4],
      [-1e-30, -1e-30],
      [0, 0],
    ].flatMap(([chosen, rejected]) =>
      [1e-3, 1, 30].map((w) => ({
        chosen: [chosen!, -5e3, 1, -1],
        rejected: [rejected!, -5e3, 2000, -1],
        w,
        scoreGap: 1,
      })),
    );
    const result = objective.evaluate(batchOf(extremes));
    for (const field of allFields) {
      result[field].forEach((value, i) => {
        expect(Number.isFinite(value), `${field}[${i}] = ${value}`).toBe(true);
      });
    }
  });

  it('pushes the chosen completion up and the rejected one down', () => {
    // β-DPO's floor, hinge beyond 1 and terms other than the link aside, on a pair that is still undecided.
    const undecided: Pair = { ...worked, chosen: [-3.4, -3.5, 4, -3], rejected: [-2.4, -2.5, 2, -2] };
    const { chosenSlopes, rejectedSlopes } = objective.evaluate(batchOf([undecided]));
    expect(chosenSlopes[0]).toBeLessThan(0);
    expect(rejectedSlopes[0]).toBeGreaterThan(0);
  });

  it('reports what it needs, and names what is missing', () => {
    const { chosen, rejected, ...rest } = batchOf([worked]);
    const bare = ({ logps, tokens }: CompletionBatch) => ({ logps, tokens });
    const without = { ...rest, chosen: bare(chosen), rejected: bare(rejected) };
    const complain = objective.needsReference || objective.extras.length > 0;
    if (complain) expect(() => objective.evaluate(without)).toThrow(MallowsError);
    else expect(objective.evaluate(without).losses[0]).toBeCloseTo(byHand[name], 13);
  });

  it('uses w(x) exactly when it says so', () => {
    const losses = [0.5, 1.5].map((w) => objective.evaluate(batchOf([{ ...worked, w }])).losses[0]!);
    const weightless = name === 'hinge'; // this pair is decided; the hinge is flat there
    if (!weightless) expect(losses[0] !== losses[1]).toBe(objective.usesDispersion);
  });

  it('turns into its Mallows version with `dispersion: true`', () => {
    const mallows = createObjective({ ...withBeta(name), dispersion: true });
    expect(mallows.usesDispersion).toBe(true);
    const pair: Pair = { ...worked, chosen: [-3.4, -3.5, 4, -3] };
    const [low, high] = [0.7, 1.3].map((w) => mallows.evaluate(batchOf([{ ...pair, w }])).losses[0]!);
    expect(low).not.toBe(high);
    const plain = createObjective({ ...withBeta(name), dispersion: false });
    const flat = { ...pair, w: 1 };
    expect(mallows.evaluate(batchOf([flat]))).toEqual(plain.evaluate(batchOf([flat])));
  });
});

describe('against PyTorch autograd', () => {
  const side = ({ logSumSquares, ...arrays }: Record<string, number[]>): CompletionBatch => ({
    logps: Float64Array.from(arrays.logps!),
    referenceLogps: Float64Array.from(arrays.referenceLogps!),
    tokens: Float64Array.from(arrays.tokens!),
    extras: { logSumSquares: Float64Array.from(logSumSquares!) },
  });
  const batch: PairBatch = {
    chosen: side(torch.chosen),
    rejected: side(torch.rejected),
    w: Float64Array.from(torch.dispersion),
    scoreGaps: Float64Array.from(torch.scoreGaps),
  };

  it.each(
    torch.cases.map((entry: { options: ObjectiveOptions }) => [JSON.stringify(entry.options), entry]) as [
      string,
      Record<'losses' | 'chosenSlopes' | 'rejectedSlopes', number[]> & { options: ObjectiveOptions },
    ][],
  )('%s', (_, entry) => {
    const result = createObjective(entry.options).evaluate(batch);
    for (const field of ['losses', 'chosenSlopes', 'rejectedSlopes'] as const) {
      expect(result[field].length).toBe(entry[field].length);
      entry[field].forEach((expected, i) => {
        expect(Math.abs(result[field][i]! - expected)).toBeLessThan(1e-10 * Math.max(1, Math.abs(expected)));
      });
    }
  });

  it('covers every objective but the Mallows-φ link, which has 60-digit values', () => {
    const covered = new Set(torch.cases.map((entry: { options: ObjectiveOptions }) => entry.options.name));
    expect(objectiveNames.filter((name) => !covered.has(name))).toEqual(['mallows-phi']);
  });
});

describe('limits', () => {
  const losses = (options: ObjectiveOptions, pair: Pair): number =>
    createObjective(options).evaluate(batchOf([pair])).losses[0]!;

  it.each([
    ['mallows-theta', 'dpo'],
    ['mallows-ipo', 'ipo'],
    ['mallows-simpo', 'simpo'],
  ])('%s with w = 1 is %s', (mallows, plain) => {
    fc.assert(
      fc.property(anyPair, (pair) => {
        expect(losses({ name: mallows }, { ...pair, w: 1 })).toBe(losses({ name: plain }, pair));
      }),
      { numRuns: 50 },
    );
  });

  it.each<[ObjectiveOptions, ObjectiveOptions]>([
    [{ name: 'mallows-phi', smoothing: 'sigmoid' }, { name: 'mallows-theta' }],
    [
      { name: 'simpo', gammaBetaRatio: 0, beta: 2 },
      { name: 'cpo', alpha: 0, normalize: 'length', beta: 2 },
    ],
    [{ name: 'cdpo', labelSmoothing: 0 }, { name: 'dpo' }],
    [{ name: 'rdpo', labelSmoothing: 0 }, { name: 'dpo' }],
    [{ name: 'rpo', alpha: 0 }, { name: 'dpo' }],
    [{ name: 'dpop', lambda: 0 }, { name: 'dpo' }],
    [{ name: 'dpo-shift', lambda: 1 }, { name: 'dpo' }],
    [{ name: 'odpo', alpha: 0 }, { name: 'dpo' }],
    [{ name: 'beta-dpo', alpha: 0 }, { name: 'dpo' }],
    [{ name: 'alpha-dpo', alpha: 0 }, { name: 'simpo' }],
    [
      { name: 'cal-dpo', alpha: 0 },
      { name: 'dpo', beta: 1 },
    ],
    [{ name: 'f-dpo', divergence: 'reverse-kl' }, { name: 'dpo' }],
    [{ name: 'f-dpo', divergence: 'alpha', alpha: 0 }, { name: 'dpo' }],
    [
      { name: 'f-dpo', divergence: 'alpha', alpha: 1 },
      { name: 'f-dpo', divergence: 'forward-kl' },
    ],
  ])('%o is %o', (left, right) => {
    fc.assert(
      fc.property(anyPair, (pair) => {
        expect(losses(left, pair)).toBeCloseTo(losses(right, pair), 12);
      }),
      { numRuns: 50, seed: 8 },
    );
  });

  it('f-DPO’s α-divergence has the score (1 − r^−α)/α, r = e^1.5 and e^−0.5 here', () => {
    const gap = (1 - Math.exp(-0.25 * 1.5)) / 0.25 - (1 - Math.exp(0.25 * 0.5)) / 0.25;
    const options = { name: 'f-dpo', divergence: 'alpha', alpha: 0.25, beta: 0.5 } as const;
    expect(losses(options, worked)).toBeCloseTo(s(0.5 * gap), 13);
  });

  it.each(['dpo', 'mallows-theta', 'mallows-phi', 'cauchy'])(
    '%s is a probability: swapping the completions gives one minus it',
    (name) => {
      fc.assert(
        fc.property(anyPair, (pair) => {
          const swapped: Pair = { ...pair, chosen: pair.rejected, rejected: pair.chosen };
          expect(Math.exp(-losses({ name }, pair)) + Math.exp(-losses({ name }, swapped))).toBeCloseTo(1, 11);
        }),
        { numRuns: 100, seed: 9 },
      );
    },
  );

  it('mallows-phi scales −log φ by t', () => {
    expect(losses({ name: 'mallows-phi', t: 3 }, { ...worked, w: 0.5 })).toBe(
      losses({ name: 'mallows-phi' }, { ...worked, w: 1.5 }),
    );
  });

  it('a w that is left out counts as 1', () => {
    const { w: _, ...rest } = batchOf([worked]);
    const without = createObjective({ name: 'mallows-theta' }).evaluate(rest).losses[0];
    expect(without).toBe(losses({ name: 'mallows-theta' }, { ...worked, w: 1 }));
  });
});

describe('implicit rewards', () => {
  it('are β times the log-ratios, whatever w is', () => {
    const result = createObjective({ name: 'mallows-theta', beta: 0.5 }).evaluate(batchOf([worked]));
    expect([result.chosenRewards[0], result.rejectedRewards[0]]).toEqual([0.75, -0.25]);
  });

  it('are β times the mean log-probability for SimPO', () => {
    const result = createObjective({ name: 'simpo', beta: 2 }).evaluate(batchOf([worked]));
    expect([result.chosenRewards[0], result.rejectedRewards[0]]).toEqual([-1, -3]);
  });
});

describe('batch-wide objectives', () => {
  it('are β-DPO and AlphaDPO, as their descriptions say', () => {
    expect(objectiveNames.filter((name) => describeObjective(name).batchWide)).toEqual([
      'beta-dpo',
      'alpha-dpo',
    ]);
  });

  it.each(['beta-dpo', 'alpha-dpo'])('%s is none where its batch statistic counts for nothing', (name) => {
    expect(createObjective({ name, alpha: 0 }).batchWide).toBe(false);
  });
});

describe('AlphaDPO’s standardised gap', () => {
  /** Pairs whose log-ratio is `ratio` nats a token on the chosen side and 0 on the other. */
  const pairs = (ratios: readonly number[], tokens: number): Pair[] =>
    ratios.map((ratio) => ({
      ...worked,
      chosen: [-2 * tokens, (-2 - ratio) * tokens, tokens, -tokens],
      rejected: [-2 * tokens, -2 * tokens, tokens, -tokens],
    }));
  const losses = (batch: readonly Pair[], alpha: number) =>
    createObjective({ name: 'alpha-dpo', alpha }).evaluate(batchOf(batch)).losses;

  it.each([1, 1000])('takes rounding noise for none, in completions of %i tokens', (tokens) => {
    const noisy = pairs([1e-6, 0, -2e-5], tokens);
    expect(losses(noisy, 0.5)).toEqual(losses(noisy, 0));
  });

  it.each([1, 1000])('counts what is more, in completions of %i tokens', (tokens) => {
    const [first, second] = losses(pairs([1e-3, -1e-3], tokens), 0.05);
    expect([first, second]).toEqual([
      expect.closeTo(s(10 * (0 - 0.3 - 0.05)), 10),
      expect.closeTo(s(10 * (0 - 0.3 + 0.05)), 10),
    ]);
  });
});

describe('β-DPO’s moving average', () => {
  it('moves with training batches only, and continues from its saved state', () => {
    const objective = createObjective({ name: 'beta-dpo', beta: 0.5 });
    const batch = batchOf([worked]);
    const first = objective.evaluate(batch).losses[0]!;
    expect(objective.evaluate(batch).losses[0]).toBe(first);
    objective.advance!(batch);
    expect(objective.state!()).toEqual({ average: (1 - 0.9) * 2 });
    const second = objective.evaluate(batch).losses[0]!;
    expect(second).toBeCloseTo(s(0.5 * (1 + 0.6 * 1.8) * 2), 12);
    const resumed = createObjective({ name: 'beta-dpo', beta: 0.5 });
    resumed.restore!(objective.state!());
    expect(resumed.evaluate(batch).losses[0]).toBe(second);
    expect(() => resumed.restore!({})).toThrow(/expected a finite 'average'/);
  });
});

describe('errors', () => {
  const message = (options: ObjectiveOptions): string => {
    try {
      createObjective(options);
    } catch (error) {
      return `${(error as MallowsError).code}: ${(error as MallowsError).message}`;
    }
    return 'no error';
  };

  it('suggest the objective that was meant', () => {
    expect(message({ name: 'mallow-theta' })).toBe(
      "unknown-objective: There is no objective 'mallow-theta'. Did you mean 'mallows-theta'?",
    );
    expect(message({ name: 'toString' })).toContain('unknown-objective');
  });

  it('report every wrong option at once, with a suggestion', () => {
    const text = message({
      name: 'mallows-phi',
      beta: -1,
      smothing: 'raw',
      // @ts-expect-error: the compiler knows the options of the presets
      epsilon: 'wide',
    });
    expect(text).toContain('beta: received -1, expected number > 0.');
    expect(text).toContain("smothing: 'mallows-phi' has no such option (did you mean 'smoothing'?).");
    // @ts-expect-error
    expect(message({ name: 'simpo', gamma_beta_ratio: 1 })).toContain("(did you mean 'gammaBetaRatio'?)");
    expect(text).toContain('epsilon: received "wide", expected number > 0 or 2t.');
  });

  it('name arrays of the wrong length, empty completions and score gaps that cannot be used', () => {
    const batch = batchOf([worked]);
    expect(() => createObjective({ name: 'dpo' }).evaluate({ ...batch, w: new Float64Array(3) })).toThrow(
      /1 chosen log-probabilities but 3 w/,
    );
    const empty: Pair = { ...worked, chosen: [0, 0, 0, 0] };
    expect(() => createObjective({ name: 'simpo' }).evaluate(batchOf([empty]))).toThrow(
      /completion of 0 tokens/,
    );
    const tied: Pair = { ...worked, scoreGap: 0 };
    expect(() => createObjective({ name: 'odpo' }).evaluate(batchOf([worked, tied]))).toThrow(
      /Pair 1 .* gap of 0/,
    );
    const lacking: Pair = { ...worked, scoreGap: Number.NaN };
    for (const offset of ['log', 'linear'] as const) {
      expect(() =>
        createObjective({ name: 'odpo', offset }).evaluate(batchOf([worked, lacking])),
      ).toThrowError(
        expect.objectContaining({
          code: 'missing-score-gaps',
          message: expect.stringContaining('pair 1 of the batch has NaN'),
        }),
      );
    }
    const { scoreGaps: _, ...unscored } = batch;
    expect(() => createObjective({ name: 'odpo' }).evaluate(unscored)).toThrow(/the batch has none/);
  });
});
