import type { Interval } from '../../stats/index.ts';
import type { Claim } from '../shared/claims.ts';

/** Plain data, so that it can be sent to a worker. */
export interface BanditObjective {
  readonly objective: 'dpo' | 'mallows-phi' | 'mallows-theta';
  /** How the φ-link's jump at 0 is treated; null for the others. */
  readonly smoothing: 'raw' | 'cubic' | null;
}

export interface PoolOptions {
  /** Worker threads; 0 trains in the calling thread. Default: one a core, at most eight. */
  readonly workers?: number;
  readonly onDone?: (done: number, total: number) => void;
}

export interface BanditOptions extends PoolOptions {
  readonly epochs?: number;
  readonly learningRate?: number;
  readonly phi?: number;
  readonly betas?: readonly number[];
  /** β of the frontier over training, which averages over them. Also trained as part of `betas`. */
  readonly trainingBetas?: readonly number[];
  readonly recordEvery?: number;
  /** Comparison on fresh samples; false leaves it out. */
  readonly fresh?: Partial<FreshOptions> | false;
}

/**
 * Beyond the paper: its 16 comparisons are one draw from the arms. Here are many, so that a difference between objectives
 * has a confidence interval.
 */
export interface FreshOptions {
  readonly samples: number;
  /** learningRate · epochs = 2,500, as in the paper: the same stretch of gradient flow in larger steps. */
  readonly epochs: number;
  readonly learningRate: number;
  readonly betas: readonly number[];
  /** The β at which objectives are compared directly, and along training at equal KL. One of `betas`. */
  readonly beta: number;
  readonly klLevels: readonly number[];
  readonly seed: number | string;
}

/** One trained policy: the mean of the last 30 epochs. */
export interface BanditResult extends BanditObjective {
  readonly beta: number;
  readonly policy: readonly number[];
  readonly reward: number;
  readonly kl: number;
}

export interface TrainingFrontier extends BanditObjective {
  readonly epochs: readonly number[];
  /** Means over the training β. */
  readonly reward: readonly number[];
  readonly kl: readonly number[];
}

/** The content of report.json. */
export interface BanditReport {
  readonly experiment: 'bandit';
  readonly settings: {
    readonly epochs: number;
    readonly learningRate: number;
    readonly phi: number;
    /** 2t, which turns θ at β into DPO at thetaFactor·β. */
    readonly thetaFactor: number;
    readonly betas: readonly number[];
    readonly trainingBetas: readonly number[];
    readonly recordEvery: number;
  };
  readonly results: readonly BanditResult[];
  readonly trainingFrontiers: readonly TrainingFrontier[];
  readonly thetaIsDpo: readonly {
    readonly beta: number;
    readonly dpoBeta: number;
    readonly largestDifference: number;
  }[];
  readonly fresh?: FreshReport;
  readonly claims: readonly Claim[];
  /** What holds and what does not, in sentences. */
  readonly findings: readonly string[];
}

export interface FreshComparison {
  readonly measure: string;
  readonly higherIsBetter: boolean;
  readonly first: string;
  readonly second: string;
  /** Samples in which both have the measure. */
  readonly count: number;
  readonly firstMean: number;
  readonly secondMean: number;
  /** Mean of first − second with its 95 % bootstrap interval. */
  readonly difference: Interval;
  /** Samples in which first is better, equal (to 1e-9), worse. */
  readonly better: number;
  readonly equal: number;
  readonly worse: number;
  /** Sign test, adjusted (Holm) over all comparisons. */
  readonly pValue: number;
}

export interface FreshReport {
  readonly settings: FreshOptions;
  readonly comparisons: readonly FreshComparison[];
  /** Comparisons that fewer than two samples allow, e.g. because training never reached a KL level. */
  readonly unmeasured: readonly string[];
}
