import { z } from 'zod';
import type { Composition } from './compose.ts';
import {
  cauchy,
  exponential,
  hinge,
  labelSmoothed,
  linear,
  logistic,
  robust,
  squared,
  weighted,
} from './links.ts';
import { mallowsPhi } from './mallows-phi.ts';
import { chosenDropMargin, constantMargin, scoreGapMargin, standardizedMargin } from './margin.ts';
import { constantScale, dynamicScale, policyWeights } from './scale.ts';
import {
  divergenceScore,
  inversePerplexity,
  logOdds,
  logProbability,
  logRatio,
  normalized,
  perToken,
} from './score.ts';
import { calibration, chosenNll } from './terms.ts';

/** A published objective as data: its options with their defaults, and the composition that they make. */
export interface Preset<Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly summary: string;
  readonly source: string;
  readonly options: z.ZodObject<Shape>;
  compose(name: string, options: unknown): Composition;
}

function preset<Shape extends z.ZodRawShape>(definition: {
  summary: string;
  source: string;
  options: Shape;
  compose: (options: z.output<z.ZodObject<Shape>>) => Omit<Composition, 'name'>;
}): Preset<Shape> {
  const options = z.strictObject(definition.options);
  return {
    summary: definition.summary,
    source: definition.source,
    options,
    compose: (name, given) => ({
      name,
      ...definition.compose(options.parse(given) as z.output<z.ZodObject<Shape>>),
    }),
  };
}

const positive = z.number().positive();
const fraction = z.number().min(0).lt(0.5);
const beta = (value: number) =>
  positive.default(value).describe('β: how strongly the policy is held to the reference');
const gapScale = (value: number) => positive.default(value).describe('β: scale of the gap in log π');
const dispersion = (value: boolean) =>
  z.boolean().default(value).describe('multiply the scaled margin of each pair by its w(x)');
const normalize = z
  .enum(['sum', 'length'])
  .default('sum')
  .describe('completion scores: summed over tokens, or divided by their number');
const labelSmoothing = fraction.default(0.1).describe('ε: share of labels taken to be flipped');
const gammaBetaRatio = z.number().min(0).default(0.3).describe('γ/β: target margin in units of the score');

const MALLOWS = 'MallowsPO, Chen et al. 2025';
const scaled = (on: boolean): 'scale' | 'none' => (on ? 'scale' : 'none');

const dpoLike = (withDispersion: boolean, summary: string, source: string) =>
  preset({
    summary,
    source,
    options: { beta: beta(0.1), normalize, dispersion: dispersion(withDispersion) },
    compose: (o) => ({
      beta: o.beta,
      score: normalized(logRatio, o.normalize),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  });

const ipoLike = (withDispersion: boolean, summary: string, source: string) =>
  preset({
    summary,
    source,
    options: {
      beta: positive.default(0.1).describe('τ of the paper: the gap is drawn to 1/(2β)'),
      normalize,
      dispersion: dispersion(withDispersion),
    },
    compose: (o) => ({
      beta: o.beta,
      score: normalized(logRatio, o.normalize),
      scale: constantScale(1),
      link: squared(1 / (2 * o.beta)),
      dispersionEnters: scaled(o.dispersion),
    }),
  });

const simpoLike = (withDispersion: boolean, summary: string, source: string) =>
  preset({
    summary,
    source,
    options: { beta: gapScale(10), gammaBetaRatio, dispersion: dispersion(withDispersion) },
    compose: (o) => ({
      beta: o.beta,
      score: perToken(logProbability),
      margin: constantMargin(o.gammaBetaRatio),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  });

/** Every objective by name, in the order of the documentation. */
export const PRESETS = {
  dpo: dpoLike(false, '−log σ(βΔ)', 'DPO, Rafailov et al. 2023 (Eq. 4)'),
  'mallows-theta': dpoLike(true, '−log σ(w β Δ)', `${MALLOWS} (Eq. 8)`),
  'mallows-phi': preset({
    summary: '−log g_φ(βΔ) with −log φ = t·w(x)',
    source: `${MALLOWS} (Eq. 9)`,
    options: {
      beta: beta(0.1),
      normalize,
      dispersion: z.boolean().default(true).describe('give each pair its own −log φ; otherwise all have t'),
      t: positive.default(1).describe('−log φ of a pair with w = 1'),
      smoothing: z
        .enum(['cubic', 'raw', 'sigmoid'])
        .default('cubic')
        .describe('how the jump of g at 0 is treated (section 3.4)'),
      epsilon: z
        .union([positive, z.literal('2t')])
        .default(0.1)
        .describe("half-width of the cubic: a number, or '2t' for twice −log φ"),
    },
    compose: (o) => {
      const link = mallowsPhi({ smoothing: o.smoothing, epsilon: o.epsilon });
      return {
        beta: o.beta,
        score: normalized(logRatio, o.normalize),
        link: {
          name: link.name,
          loss: (s, w) => link.loss(s, o.t * w),
          slope: (s, w) => link.slope(s, o.t * w),
        },
        dispersionEnters: o.dispersion ? 'link' : 'none',
      };
    },
  }),
  ipo: ipoLike(false, '(Δ − 1/(2β))²', 'IPO, Azar et al. 2023 (Eq. 17)'),
  'mallows-ipo': ipoLike(true, '(w Δ − 1/(2β))²', `${MALLOWS} (section 5.5)`),
  simpo: simpoLike(false, '−log σ(β(gap − γ/β)), gap of mean log π per token', 'SimPO, Meng et al. 2024'),
  'mallows-simpo': simpoLike(true, '−log σ(w β(gap − γ/β))', `${MALLOWS} (section 5.5)`),
  cdpo: preset({
    summary: '−(1−ε) log σ(βΔ) − ε log σ(−βΔ)',
    source: 'conservative DPO, Mitchell 2023',
    options: { beta: beta(0.1), labelSmoothing, dispersion: dispersion(false) },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      link: labelSmoothed(o.labelSmoothing),
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  rdpo: preset({
    summary: '[−(1−ε) log σ(βΔ) + ε log σ(−βΔ)]/(1−2ε)',
    source: 'robust DPO, Chowdhury et al. 2024',
    options: { beta: beta(0.1), labelSmoothing, dispersion: dispersion(false) },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      link: robust(o.labelSmoothing),
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  hinge: preset({
    summary: 'max(0, 1 − βΔ)',
    source: 'SLiC, Zhao et al. 2023',
    options: { beta: beta(0.1), dispersion: dispersion(false) },
    compose: (o) => ({ beta: o.beta, score: logRatio, link: hinge, dispersionEnters: scaled(o.dispersion) }),
  }),
  rpo: preset({
    summary: '−log σ(βΔ) − α log π(y_w)/|y_w|',
    source: 'Iterative RPO, Pang et al. 2024',
    options: {
      beta: beta(0.1),
      alpha: z.number().min(0).default(1).describe('α: weight of the chosen completion’s NLL per token'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      link: logistic,
      terms: [chosenNll(o.alpha)],
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  wpo: preset({
    summary: 'min(1, ω_w ω_l) · −log σ(βΔ)',
    source: 'WPO, Zhou et al. 2024',
    options: { beta: beta(0.1), dispersion: dispersion(false) },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      link: logistic,
      weights: policyWeights,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  cpo: preset({
    summary: '−log σ(β(log π(y_w) − log π(y_l))) − α log π(y_w)/|y_w|',
    source: 'CPO, Xu et al. 2024',
    options: {
      beta: gapScale(0.1),
      alpha: z.number().min(0).default(1).describe('α: weight of the chosen completion’s NLL per token'),
      normalize,
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: normalized(logProbability, o.normalize),
      link: logistic,
      terms: [chosenNll(o.alpha)],
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  orpo: preset({
    summary: '−λ log σ(log odds gap) − log π(y_w)/|y_w|',
    source: 'ORPO, Hong et al. 2024',
    options: {
      lambda: positive.default(0.1).describe('λ: weight of the odds-ratio loss'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.lambda,
      score: logOdds,
      scale: constantScale(1),
      link: weighted(logistic, o.lambda),
      terms: [chosenNll(1)],
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  odpo: preset({
    summary: '−log σ(βΔ − α f(score gap))',
    source: 'ODPO, Amini et al. 2024',
    options: {
      beta: beta(0.1),
      alpha: z.number().min(0).default(1).describe('α: weight of the offset'),
      offset: z.enum(['log', 'linear']).default('log').describe('f: what the score gap goes through'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      margin: scoreGapMargin(o.alpha, o.offset),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  dpop: preset({
    summary: '−log σ(β(Δ − λ max(0, −a_w)))',
    source: 'DPO-positive, Pal et al. 2024',
    options: {
      beta: beta(0.1),
      lambda: z.number().min(0).default(50).describe('λ: penalty on a falling chosen completion'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      margin: chosenDropMargin(o.lambda),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  'beta-dpo': preset({
    summary: '−log σ(β_b Δ), β_b moves with the batch’s mean Δ',
    source: 'β-DPO, Wu et al. 2024',
    options: {
      beta: beta(0.1),
      alpha: z.number().min(0).default(0.6).describe('α: how far β follows the mean gap'),
      momentum: z.number().min(0).lt(1).default(0.9).describe('of the moving average of the mean gap'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      scale: dynamicScale(o.beta, o.alpha, o.momentum),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  'alpha-dpo': preset({
    summary: '−log σ(β(gap − [γ/β + α zscore Δ])), gap of mean log π per token',
    source: 'AlphaDPO, Wu et al. 2024',
    options: {
      beta: gapScale(10),
      gammaBetaRatio,
      alpha: z.number().min(0).default(0.05).describe('α: weight of the standardised log-ratio gap'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: perToken(logProbability),
      margin: standardizedMargin(o.gammaBetaRatio, o.alpha),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  'cal-dpo': preset({
    summary: '−log σ(Δ) + α/2·[(a_w − 1/2β)² + (a_l + 1/2β)²]',
    source: 'Cal-DPO, Xiao et al. 2024',
    options: {
      beta: positive.default(0.1).describe('log-ratios are drawn to ±1/(2β)'),
      alpha: z.number().min(0).default(1).describe('α: weight of the calibration'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      scale: constantScale(1),
      link: logistic,
      terms: [calibration(o.alpha, o.beta)],
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  'dpo-shift': preset({
    summary: '−log σ(β(a_w − λ a_l))',
    source: 'DPO-Shift, Yang et al. 2025',
    options: {
      beta: beta(0.1),
      lambda: z.number().min(0).max(1).default(0.75).describe('λ: weight of the rejected log-ratio'),
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      rejectedFactor: o.lambda,
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  simper: preset({
    summary: '−exp(mean log π(y_w)) + exp(mean log π(y_l))',
    source: 'SimPER, Xiao et al. 2025',
    options: { dispersion: dispersion(false) },
    compose: (o) => ({
      beta: 1,
      score: inversePerplexity,
      link: linear,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  exponential: preset({
    summary: 'exp(−βΔ)',
    source: 'GPO, Tang et al. 2024',
    options: { beta: beta(0.1), dispersion: dispersion(false) },
    compose: (o) => ({
      beta: o.beta,
      score: logRatio,
      link: exponential,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
  cauchy: preset({
    summary: '−log F(βΔ), F the Cauchy distribution',
    source: 'GPO family with a heavy-tailed F',
    options: { beta: beta(0.1), dispersion: dispersion(false) },
    compose: (o) => ({ beta: o.beta, score: logRatio, link: cauchy, dispersionEnters: scaled(o.dispersion) }),
  }),
  'f-dpo': preset({
    summary: '−log σ(β(f′(r_w) − f′(r_l))), r = π/π_ref',
    source: 'f-DPO, Wang et al. 2023',
    options: {
      beta: beta(0.1),
      divergence: z
        .enum(['reverse-kl', 'forward-kl', 'js', 'alpha'])
        .default('js')
        .describe('f: the divergence that holds the policy to the reference'),
      alpha: z
        .number()
        .min(0)
        .default(0.5)
        .describe('α of the α-divergence, f′(r) = (1 − r^−α)/α: 0 is reverse KL, 1 forward KL'),
      normalize,
      dispersion: dispersion(false),
    },
    compose: (o) => ({
      beta: o.beta,
      score: normalized(divergenceScore(o.divergence, o.alpha), o.normalize),
      link: logistic,
      dispersionEnters: scaled(o.dispersion),
    }),
  }),
} satisfies Record<string, Preset>;

export type ObjectiveName = keyof typeof PRESETS;
