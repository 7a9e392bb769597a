import type { CorrelationKind, Interval } from '../../stats/index.ts';
import type { Claim } from '../shared/claims.ts';

export interface EstimateOptions {
  readonly items?: number;
  /** True −log φ, one prompt set each. */
  readonly negLogPhis?: readonly number[];
  /** Rankings drawn for each φ. */
  readonly rankings?: number;
  /** Prompts for each φ. */
  readonly prompts?: number;
  /** Answers for each prompt, the best and worst of which make the pair. */
  readonly answers?: number;
  readonly seed?: number | string;
}

export interface EstimatePoint {
  /** True −log φ. */
  readonly negLogPhi: number;
  readonly phi: number;
  /** The estimate w over the prompts of this φ. */
  readonly drawn: { readonly mean: number; readonly sd: number };
  readonly model: number;
}

export type Estimator = 'drawn' | 'model';

export interface EstimateCorrelation {
  readonly estimator: Estimator;
  readonly kind: CorrelationKind;
  /** Over the values of φ, with its 95 % bootstrap interval. */
  readonly interval: Interval;
}

/** The content of report.json. */
export interface EstimateReport {
  readonly experiment: 'estimate';
  readonly settings: Required<EstimateOptions>;
  readonly phiStar: Readonly<Record<Estimator, number>>;
  readonly points: readonly EstimatePoint[];
  readonly correlations: readonly EstimateCorrelation[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}
