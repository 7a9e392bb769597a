/** Whether a published statement held when it was run again. */
export type ClaimVerdict = 'reproduced' | 'not reproduced' | 'not testable at this scale';

/** One published statement beside what was found. */
export interface Claim {
  readonly claim: string;
  /** The published value, in words or numbers. */
  readonly paper: string;
  readonly ours: string;
  readonly verdict: ClaimVerdict;
  /** What a reader must know to judge it. */
  readonly note?: string;
}

/** `reproduced` or `not reproduced`, unless the run's settings are not the ones that the statement is about. */
export function verdictOn(testable: boolean, holds: boolean): ClaimVerdict {
  if (!testable) return 'not testable at this scale';
  return holds ? 'reproduced' : 'not reproduced';
}

export function countVerdicts(claims: readonly Claim[]): {
  readonly reproduced: number;
  readonly of: number;
} {
  return { reproduced: claims.filter(({ verdict }) => verdict === 'reproduced').length, of: claims.length };
}

/** A difference with its sign, to three digits: `+0.042`. */
export function signed(value: number): string {
  return `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(3)}`;
}
