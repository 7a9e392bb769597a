import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logistic } from './links.ts';
import { mallowsPhi } from './mallows-phi.ts';

/** 60-digit values, written by scripts/fixtures/mallows_phi.py. */
const fixture = JSON.parse(readFileSync(new URL('./fixtures/mallows-phi.json', import.meta.url), 'utf8')) as {
  raw: [number, number, number, number][];
  cubic: [number, number, number, number, number][];
};

const raw = mallowsPhi({ smoothing: 'raw' });
const cubic = mallowsPhi();

const relativeError = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / Math.abs(expected);
const g = (s: number, t: number): number => Math.exp(-raw.loss(s, t));
const minusLog = (phi: number): number => -Math.log(phi);

describe('the raw link against 60-digit arithmetic', () => {
  it('has relative errors below 5e-13 (loss) and 3e-11 (slope)', () => {
    expect(fixture.raw.length).toBeGreaterThan(200);
    let loss = 0;
    let slope = 0;
    for (const [t, s, expectedLoss, expectedSlope] of fixture.raw) {
      if (Math.abs(expectedLoss) > 1e-300) loss = Math.max(loss, relativeError(raw.loss(s, t), expectedLoss));
      else expect(raw.loss(s, t)).toBeLessThan(1e-300);
      if (Math.abs(expectedSlope) > 1e-300) {
        slope = Math.max(slope, relativeError(raw.slope(s, t), expectedSlope));
      } else expect(Math.abs(raw.slope(s, t))).toBeLessThan(1e-300);
    }
    expect(loss).toBeLessThan(5e-13);
    expect(slope).toBeLessThan(3e-11);
  });

  it('is finite over φ ∈ [1e-6, 1 − 1e-6] and |s| ≤ 1e3, both signs', () => {
    fc.assert(
      fc.property(
        fc.double({ min: Math.log(1e-6), max: Math.log(1e6), noNaN: true }), // logit of φ
        fc.double({ min: -1e3, max: 1e3, noNaN: true }),
        (logit, s) => {
          const t = Math.log1p(Math.exp(-logit));
          for (const link of [raw, cubic, mallowsPhi({ epsilon: '2t' })]) {
            expect(Number.isFinite(link.loss(s, t))).toBe(true);
            expect(link.slope(s, t)).toBeLessThanOrEqual(0);
            expect(link.slope(s, t)).toBeGreaterThan(Number.NEGATIVE_INFINITY);
          }
        },
      ),
      { numRuns: 2000, seed: 1 },
    );
  });

  it('stays finite where φ underflows', () => {
    for (const t of [50, 800, 5000]) {
      for (const s of [-40, -0.05, 0, 0.05, 40]) {
        for (const link of [raw, cubic, mallowsPhi({ epsilon: '2t' })]) {
          expect(Number.isFinite(link.loss(s, t))).toBe(true);
          expect(Number.isFinite(link.slope(s, t))).toBe(true);
        }
      }
    }
  });
});

describe('facts of the raw link', () => {
  it('g(s) + g(−s) = 1 and g(1) = 1/(1 + φ)', () => {
    for (const phi of [0.001, 0.05, 0.5, 0.9, 0.999]) {
      const t = minusLog(phi);
      for (const s of [1e-5, 0.3, 1, 4]) expect(g(s, t) + g(-s, t)).toBeCloseTo(1, 13);
      expect(g(1, t)).toBeCloseTo(1 / (1 + phi), 13);
    }
  });

  it('jumps at 0 from 1 − g(0+) to g(0+) = 1/(1 − φ) − 1/t', () => {
    const t = minusLog(0.05);
    expect(g(1e-6, t)).toBeCloseTo(0.7188, 4);
    expect(g(1e-6, t) - g(-1e-6, t)).toBeCloseTo(0.4376, 4);
    expect(g(1e-6, t) - g(-1e-6, t)).toBeCloseTo(1 / Math.tanh(t / 2) - 2 / t, 5);
    expect(raw.loss(-1e-6, t) - raw.loss(1e-6, t)).toBeCloseTo(0.939, 3);
    const half = minusLog(0.5);
    expect(g(1e-6, half) - g(-1e-6, half)).toBeCloseTo(0.1146, 4);
  });

  it('treats 0 and rounding noise around it as the s < 0 branch', () => {
    const t = minusLog(0.05);
    expect(raw.slope(0, t)).toBeCloseTo(raw.slope(-1e-9, t), 6);
    expect(raw.loss(9e-7, t)).toBeCloseTo(raw.loss(-9e-7, t), 12);
    expect(raw.loss(1.1e-6, t)).toBeLessThan(raw.loss(9e-7, t) - 0.9);
  });

  it('is convex on each side, and its slope tends to −t', () => {
    const t = minusLog(0.3);
    for (const side of [1, -1]) {
      const slopes = [0.01, 0.2, 1, 3, 9].map((a) => raw.slope(side * a, t));
      const ordered = side > 0 ? slopes : slopes.reverse();
      for (let i = 1; i < ordered.length; i++) expect(ordered[i]!).toBeGreaterThan(ordered[i - 1]!);
    }
    expect(raw.slope(-1e6, t)).toBeCloseTo(-t, 5);
  });

  it('tends to a coin toss as φ → 1 and to a step as φ → 0', () => {
    expect(g(2, 1e-9)).toBeCloseTo(0.5, 8);
    expect(g(-2, 1e-9)).toBeCloseTo(0.5, 8);
    expect(g(0.1, 1e4)).toBeGreaterThan(0.999);
    expect(g(-0.1, 1e4)).toBeLessThan(0.001);
  });

  it('has a slope that matches finite differences', () => {
    for (const t of [0.01, 0.4, 1, 3, 12]) {
      for (const s of [-7, -0.8, -0.02, 0.02, 0.8, 7]) {
        const h = 1e-6 * Math.max(1, Math.abs(s));
        const numeric = (raw.loss(s + h, t) - raw.loss(s - h, t)) / (2 * h);
        expect(Math.abs(raw.slope(s, t) - numeric)).toBeLessThan(1e-8 * Math.max(1, t));
      }
    }
  });
});

describe('the cubic smoothing', () => {
  it('agrees with 60-digit arithmetic', () => {
    const links = { fixed: mallowsPhi({ epsilon: 0.1 }), twice: mallowsPhi({ epsilon: '2t' }) };
    for (const [t, epsilon, s, loss, slope] of fixture.cubic) {
      const link = epsilon === 0.1 ? links.fixed : links.twice;
      expect(relativeError(link.loss(s, t), loss)).toBeLessThan(1e-11);
      expect(relativeError(link.slope(s, t), slope)).toBeLessThan(1e-9);
    }
  });

  it('has the coefficients a₁ = 3.662 and a₃ = −110.16 at φ = .05, ε = .1', () => {
    const t = minusLog(0.05);
    expect(Math.exp(-cubic.loss(0, t))).toBe(0.5);
    const a1 = -cubic.slope(0, t) / 2; // slope = −P′/P, P(0) = ½
    expect(a1).toBeCloseTo(3.662, 3);
    const s = 0.05;
    expect((Math.exp(-cubic.loss(s, t)) - 0.5 - a1 * s) / s ** 3).toBeCloseTo(-110.16, 2);
  });

  it('is continuous with its slope at ±ε, and equals the raw link beyond', () => {
    for (const phi of [0.001, 0.05, 0.5, 0.99]) {
      const t = minusLog(phi);
      for (const [link, epsilon] of [
        [cubic, 0.1],
        [mallowsPhi({ epsilon: '2t' }), 2 * t],
      ] as const) {
        for (const s of [epsilon, -epsilon]) {
          const inside = s * (1 - 1e-9);
          const outside = s * (1 + 1e-9);
          expect(link.loss(outside, t)).toBe(raw.loss(outside, t));
          // In probabilities: with ε = 2t and φ = .001, −log g(−ε) rises by tens within a hair's breadth.
          const value = (at: number) => Math.exp(-link.loss(at, t));
          const rate = (at: number) => -link.slope(at, t) * value(at);
          expect(Math.abs(value(inside) - value(outside))).toBeLessThan(1e-7);
          expect(Math.abs(rate(inside) - rate(outside))).toBeLessThan(1e-5);
          if (epsilon === 0.1) {
            expect(relativeError(link.loss(inside, t), link.loss(outside, t))).toBeLessThan(1e-7);
            expect(relativeError(link.slope(inside, t), link.slope(outside, t))).toBeLessThan(1e-5);
          }
        }
      }
    }
  });

  it('ε = 2t is about 1.4 at φ = .5', () => {
    const t = minusLog(0.5);
    const link = mallowsPhi({ epsilon: '2t' });
    expect(link.loss(1.38, t)).not.toBe(raw.loss(1.38, t));
    expect(link.loss(1.39, t)).toBe(raw.loss(1.39, t));
  });
});

describe('the sigmoid smoothing', () => {
  it('is the logistic link at t·s, and exact at s = 1', () => {
    const link = mallowsPhi({ smoothing: 'sigmoid' });
    for (const t of [0.2, 1, 3]) {
      for (const s of [-5, 0, 0.3, 6]) expect(link.loss(s, t)).toBe(logistic.loss(t * s, 1));
      expect(link.loss(1, t)).toBeCloseTo(raw.loss(1, t), 12);
    }
  });
});
