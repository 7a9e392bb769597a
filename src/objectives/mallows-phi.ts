import { type Link, logistic } from './links.ts';

/**
 * The Mallows-φ (Kendall) link of MallowsPO, Eq. 9:
 *   g(s) = (1 − sgn s)/2 + sgn s · [(|s|+1)/(1 − φ^(|s|+1)) − |s|/(1 − φ^|s|)],   loss = −log g(s).
 *
 * The printed formula is 0/0 at s = 0, cancels as φ → 1 and takes log 0 for s ≪ 0. With t = −log φ, u = |s|t, v = u + t
 * and B(x) = x/(eˣ − 1), everything follows from the tail δ = 1 − g(|s|) = [B(u) − B(v)]/t, computed here by a series
 * for small v and in logarithms elsewhere. φ itself never appears: near 1 it could not carry t's digits.
 */

/** Below this v the Bernoulli series is at fp64 precision. */
const SERIES_LIMIT = 0.5;

/** ½ − δ(a) for a ≥ 0, by the series; v < ½. */
function seriesExcess(u: number, v: number): number {
  const u2 = u * u;
  const v2 = v * v;
  const u4 = u2 * u2;
  const v4 = v2 * v2;
  const powers8 = u4 * u4 + u4 * u2 * v2 + u4 * v4 + u2 * v2 * v4 + v4 * v4;
  return (
    (u + v) *
    (1 / 12 -
      (u2 + v2) / 720 +
      (u4 + u2 * v2 + v4) / 30_240 -
      ((u2 + v2) * (u4 + v4)) / 1_209_600 +
      powers8 / 47_900_160)
  );
}

/** dδ/da by the series; v < ½. S_m = Σ_k u^k v^(m−k). */
function seriesTailSlope(u: number, v: number, t: number): number {
  const complete = (degree: number): number => {
    let total = 0;
    for (let k = 0; k <= degree; k++) total = total * v + u ** k;
    return total;
  };
  return (
    -t * (1 / 6 - complete(2) / 180 + complete(4) / 5_040 - complete(6) / 151_200 + complete(8) / 4_790_016)
  );
}

/** P(u) = u/(1 − e^−u), given e^−u. */
function growth(u: number, decay: number): number {
  if (u >= SERIES_LIMIT) return u / (1 - decay);
  const u2 = u * u;
  return 1 + u / 2 + (u2 / 12) * (1 - (u2 / 60) * (1 - (u2 / 42) * (1 - (u2 / 40) * (1 - (u2 * 5) / 198))));
}

/** P′(u), given e^−u. */
function growthSlope(u: number, decay: number): number {
  if (u >= SERIES_LIMIT) return (1 - (u * decay) / (1 - decay)) / (1 - decay);
  const u2 = u * u;
  return 1 / 2 + u * (1 / 6 - u2 * (1 / 180 - u2 * (1 / 5_040 - u2 * (1 / 151_200 - u2 / 4_790_016))));
}

/** What depends on t alone; a bandit or a constant φ asks for the same t every time. */
class Dispersion {
  t = Number.NaN;
  /** e^−t */
  phi = Number.NaN;
  /** (1 − e^−t)/t */
  meanDecay = Number.NaN;

  /** Whether t is new. */
  update(t: number): boolean {
    if (t === this.t) return false;
    this.t = t;
    this.phi = Math.exp(-t);
    this.meanDecay = -Math.expm1(-t) / t;
    return true;
  }
}

/** δ(a) = 1 − g(a) for a ≥ 0. */
function tail(a: number, { t, phi, meanDecay }: Dispersion): number {
  const u = a * t;
  if (u + t < SERIES_LIMIT) return 0.5 - seriesExcess(u, u + t);
  const decay = Math.exp(-u);
  return (decay * (meanDecay * growth(u, decay) - phi)) / (1 - decay * phi);
}

/** log δ(a) for a ≥ 0: finite however small δ is. */
function logTail(a: number, { t, phi, meanDecay }: Dispersion): number {
  const u = a * t;
  if (u + t < SERIES_LIMIT) return Math.log(0.5 - seriesExcess(u, u + t));
  const decay = Math.exp(-u);
  return -u + Math.log((meanDecay * growth(u, decay) - phi) / (1 - decay * phi));
}

/** g(a) − ½ for a ≥ 0, without cancellation as t → 0. */
function excess(a: number, dispersion: Dispersion): number {
  const u = a * dispersion.t;
  const v = u + dispersion.t;
  return v < SERIES_LIMIT ? seriesExcess(u, v) : 0.5 - tail(a, dispersion);
}

/** Loss from the branch s > 0 or (`positive` false) s < 0. */
function branchLoss(a: number, dispersion: Dispersion, positive: boolean): number {
  return positive ? -Math.log1p(-tail(a, dispersion)) : -logTail(a, dispersion);
}

/** Slope of that branch: δ′/(1−δ) or δ′/δ, both < 0; the latter tends to −t. One exponential a call. */
function branchSlope(a: number, { t, phi, meanDecay }: Dispersion, positive: boolean): number {
  const u = a * t;
  const v = u + t;
  if (v < SERIES_LIMIT) {
    const delta = 0.5 - seriesExcess(u, v);
    return seriesTailSlope(u, v, t) / (positive ? 1 - delta : delta);
  }
  const decay = Math.exp(-u);
  const inner = meanDecay * growth(u, decay) - phi;
  const outer = 1 - decay * phi; // v ≥ ½: no cancellation
  const relative = t * (-1 + (meanDecay * growthSlope(u, decay)) / inner - (decay * phi) / outer);
  if (!positive) return relative;
  const delta = (decay * inner) / outer;
  return (relative * delta) / (1 - delta);
}

/** Margins smaller than this are rounding noise in language-model training and count as s < 0. */
const RAW_TIE = 1e-6;

/** Eq. 9 as it stands, with its jump at 0. There, and within 1e-6 of it, the s < 0 branch applies. */
function raw(): Link {
  const dispersion = new Dispersion();
  return {
    name: 'mallows-phi-raw',
    loss: (s, t) => {
      dispersion.update(t);
      return branchLoss(Math.abs(s), dispersion, s >= RAW_TIE);
    },
    slope: (s, t) => {
      dispersion.update(t);
      return branchSlope(Math.abs(s), dispersion, s >= RAW_TIE);
    },
  };
}

/**
 * Section 3.4: on (−ε, ε) the cubic a₃s³ + a₁s + ½ that meets g in value and slope at ±ε. It is evaluated from its end
 * −ε in powers of the distance, all terms positive, because a₃s³ + a₁s + ½ cancels where g is tiny.
 */
function cubic(epsilonAt: (t: number) => number): Link {
  const dispersion = new Dispersion();
  let epsilon = 0;
  let end = 0; // g(−ε)
  let endSlope = 0; // g′(±ε)
  let bend = 0; // −a₃ > 0
  let middleSlope = 0; // a₁ = g′(0)
  const prepare = (t: number): void => {
    if (!dispersion.update(t)) return;
    epsilon = epsilonAt(t);
    end = tail(epsilon, dispersion);
    endSlope = -branchSlope(epsilon, dispersion, false) * end;
    const rise = excess(epsilon, dispersion);
    bend = (rise - epsilon * endSlope) / (2 * epsilon ** 3);
    middleSlope = (3 * rise - epsilon * endSlope) / (2 * epsilon);
  };
  /** P(−a), a ∈ [0, ε) */
  const lower = (a: number): number => {
    if (a === 0) return 0.5;
    const distance = epsilon - a;
    return end + distance * (endSlope + bend * distance * (3 * epsilon - distance));
  };
  return {
    name: 'mallows-phi-cubic',
    loss: (s, t) => {
      prepare(t);
      const a = Math.abs(s);
      if (a >= epsilon) return branchLoss(a, dispersion, s > 0);
      return s > 0 ? -Math.log1p(-lower(a)) : -Math.log(lower(a));
    },
    slope: (s, t) => {
      prepare(t);
      const a = Math.abs(s);
      if (a >= epsilon) return branchSlope(a, dispersion, s > 0);
      const rate = a === 0 ? middleSlope : endSlope + 3 * bend * (epsilon - a) * (epsilon + a);
      return -rate / (s > 0 ? 1 - lower(a) : lower(a));
    },
  };
}

/** g(s) ≈ σ(t·s), exact at s = 1: MallowsPO-θ. */
const sigmoidSmoothed: Link = {
  name: 'mallows-phi-sigmoid',
  loss: (s, t) => logistic.loss(t * s, t),
  slope: (s, t) => t * logistic.slope(t * s, t),
};

export type MallowsPhiSmoothing = 'cubic' | 'raw' | 'sigmoid';

export interface MallowsPhiOptions {
  /** How the jump at s = 0 is treated. Default `cubic`. */
  readonly smoothing?: MallowsPhiSmoothing;
  /** Half-width ε of the cubic: a number (default 0.1), or `2t` for ε = 2 t(x). */
  readonly epsilon?: number | '2t';
}

/** The Mallows-φ link with its analytic slope. Accurate to 5e-13 (loss) and 3e-11 (slope) over φ ∈ [1e-6, 1 − 1e-6]. */
export function mallowsPhi({ smoothing = 'cubic', epsilon = 0.1 }: MallowsPhiOptions = {}): Link {
  switch (smoothing) {
    case 'raw':
      return raw();
    case 'sigmoid':
      return sigmoidSmoothed;
    case 'cubic':
      return cubic(epsilon === '2t' ? (t) => 2 * t : () => epsilon);
    default:
      return smoothing satisfies never;
  }
}
