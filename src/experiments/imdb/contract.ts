import type { Interval } from '../../stats/index.ts';
import type { ArmRun } from '../shared/arms.ts';
import type { Claim } from '../shared/claims.ts';
import type { PipelineOptions } from '../shared/pipeline.ts';
import type { ImdbSettings } from './settings.ts';

export interface ImdbExperiment extends PipelineOptions {
  readonly settings: ImdbSettings;
}

/** The policy at one moment of training. */
export interface FrontierMoment {
  readonly step: number;
  /** Nats a completion. */
  readonly kl: number;
  /** Share of samples that the classifier calls positive. */
  readonly accuracy: number;
  /** Mean probability of positive. */
  readonly probability: number;
}

export interface ArmFrontier extends ArmRun {
  readonly moments: readonly FrontierMoment[];
}

/** The content of report.json. */
export interface ImdbReport {
  readonly experiment: 'imdb';
  readonly scale: 'small' | 'paper';
  readonly settings: ImdbSettings;
  readonly data: { readonly source: string; readonly reviews: number; readonly badRows: number };
  readonly classifier: {
    readonly model: string;
    readonly accuracy: Pick<Interval, 'estimate' | 'low' | 'high'>;
    readonly heldOut: number;
    /** Accuracy of TF-IDF with logistic regression on such reviews, a floor for any sentiment reward. */
    readonly floor: number;
  };
  readonly pairs: {
    readonly count: number;
    readonly prompts: number;
    /** Mean log odds of positive, chosen minus rejected. */
    readonly meanGap: number;
    readonly files: readonly string[];
  };
  readonly samplesPerMoment: number;
  readonly frontiers: readonly ArmFrontier[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}

/** The most and the least positive continuation of one opening. */
export interface SampledPair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  /** Log odds of positive, chosen minus rejected. */
  readonly gap: number;
}
