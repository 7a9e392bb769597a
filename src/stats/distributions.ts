/**
 * Tail probabilities that tests need, from textbook series and continued fractions (Abramowitz & Stegun 6.1, 7.1, 26.5),
 * each to near fp64 precision.
 */

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** log Γ(x) for x > 0 (Lanczos, g = 7). */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1;
  let series = LANCZOS[0]!;
  for (let k = 1; k < LANCZOS.length; k++) series += LANCZOS[k]! / (shifted + k);
  const base = shifted + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(base) - base + Math.log(series);
}

/** Continued fraction of the incomplete beta function, by the modified Lentz method. */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-16) break;
  }
  return fraction;
}

/** Regularised incomplete beta I_x(a, b); `complement` is 1 − x, given apart so that neither end cancels. */
export function incompleteBeta(x: number, a: number, b: number, complement = 1 - x): number {
  if (x <= 0) return 0;
  if (complement <= 0) return 1;
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(complement),
  );
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(x, a, b)) / a
    : 1 - (front * betaFraction(complement, b, a)) / b;
}

/** P(|T| ≥ |t|) for Student's t with `df` degrees of freedom. */
export function studentTwoSided(t: number, df: number): number {
  if (Number.isNaN(t) || !(df > 0)) return Number.NaN;
  if (!Number.isFinite(t)) return 0;
  const total = df + t * t;
  return incompleteBeta(df / total, df / 2, 0.5, (t * t) / total);
}

/** P(T ≤ t). */
export function studentCdf(t: number, df: number): number {
  const tail = studentTwoSided(t, df) / 2;
  return t > 0 ? 1 - tail : tail;
}

/** The t with P(T ≤ t) = p, by bisection on the exact tail. */
export function studentQuantile(p: number, df: number): number {
  return quantileBySearch(p, (t) => studentTwoSided(t, df) / 2);
}

/** P(|Z| ≥ |z|) for a standard normal Z, i.e. erfc(|z|/√2). */
export function normalTwoSided(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  if (x < 2) {
    // erf's Taylor series in the form without alternating signs
    let term = x;
    let series = x;
    for (let k = 1; term > series * 1e-17; k++) {
      term *= (2 * x * x) / (2 * k + 1);
      series += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * series;
  }
  let fraction = x;
  for (let k = 120; k >= 1; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

export function normalCdf(z: number): number {
  const tail = normalTwoSided(z) / 2;
  return z > 0 ? 1 - tail : tail;
}

/** The z with P(Z ≤ z) = p. */
export function normalQuantile(p: number): number {
  return quantileBySearch(p, (z) => normalTwoSided(z) / 2);
}

/** Quantile of a symmetric distribution from its upper tail (decreasing on [0, ∞)). */
function quantileBySearch(p: number, upperTail: (x: number) => number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0 || p === 1) return p === 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (p === 0.5) return 0;
  const target = Math.min(p, 1 - p);
  let low = 0;
  let high = 1;
  while (upperTail(high) > target) high *= 2;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (upperTail(middle) > target) low = middle;
    else high = middle;
  }
  return p < 0.5 ? -high : high;
}

/** P(X ≤ k) for X binomial(n, ½), exactly summed. */
export function fairBinomialCdf(k: number, n: number): number {
  let total = 0;
  for (let i = 0; i <= k; i++) {
    total += Math.exp(logGamma(n + 1) - logGamma(i + 1) - logGamma(n - i + 1) - n * Math.LN2);
  }
  return Math.min(total, 1);
}
