import { studentQuantile, studentTwoSided } from './distributions.ts';
import { sum } from './summary.ts';
import { withoutSpread } from './tests.ts';

/** A part of an estimate's variance, and the degrees of freedom of what is known of it. */
export interface Component {
  readonly variance: number;
  readonly df: number;
}

interface CochranCox {
  readonly estimate: number;
  /** 95 % interval. */
  readonly low: number;
  readonly high: number;
  /** Two-sided, of the estimate's being zero. */
  readonly pValue: number;
}

/**
 * Test of an estimate whose variance is a sum of parts that are known differently well (Cochran & Cox, Experimental Designs,
 * 1950, §4.14). The critical value is the mean of Student's for the parts, weighed by their variances. One t with the degrees
 * of freedom of the whole (Satterthwaite) claims too much where a part has but one: it is then often estimated far too small,
 * and counts for little just there. Without any spread the estimate is all that there is.
 *
 * @param largest of what the estimate is made of, beside which rounding is judged
 */
export function cochranCox(estimate: number, components: readonly Component[], largest: number): CochranCox {
  const total = sum(components.map(({ variance }) => variance));
  const standardError = Math.sqrt(total);
  const exact = withoutSpread(estimate, standardError, largest);
  if (exact !== undefined) {
    return { estimate: exact, low: exact, high: exact, pValue: exact === 0 ? 1 : 0 };
  }
  const parts = components.filter(({ variance }) => variance > 0);
  const critical = (p: number): number =>
    sum(parts.map(({ variance, df }) => variance * -studentQuantile(p / 2, df))) / total;
  const half = critical(0.05) * standardError;
  return {
    estimate,
    low: estimate - half,
    high: estimate + half,
    pValue: pValueAt(Math.abs(estimate) / standardError, parts, critical),
  };
}

const PRECISION = 1e-9;

/** The level whose critical value is t, by bisection: it lies between the p-values that the parts alone would give. */
function pValueAt(t: number, parts: readonly Component[], critical: (p: number) => number): number {
  const alone = parts.map(({ df }) => studentTwoSided(t, df));
  let [low, high] = [Math.min(...alone), Math.max(...alone)];
  while (high - low > PRECISION * high) {
    const middle = (low + high) / 2;
    if (critical(middle) > t) low = middle;
    else high = middle;
  }
  return high;
}
