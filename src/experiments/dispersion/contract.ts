import type { LoadedModel } from '../../checkpoints/index.ts';
import type { LoadPairsOptions } from '../../data/index.ts';
import type { Interval } from '../../stats/index.ts';
import type { Claim } from '../shared/claims.ts';

export type DataKind = 'reviews' | 'pairs' | 'judged';

export interface DispersionExperiment {
  readonly loaded: LoadedModel;
  readonly data: readonly { readonly label?: string; readonly source: string }[];
  /** Usable rows of each data set, drawn at random. Default: all. */
  readonly rows?: number;
  /** Default `sampled`. */
  readonly reviewAnswers?: 'sampled' | 'review';
  /** Words of a review that make its prompt. Default 8. */
  readonly openingWords?: number;
  /** Tokens of a sampled answer. Default 128. */
  readonly maxNewTokens?: number;
  /** Tokens of prompt and answer together. Default 512. */
  readonly maxLength?: number;
  readonly seed?: number;
  readonly reading?: LoadPairsOptions;
  readonly onProgress?: (progress: DispersionProgress) => void;
  readonly signal?: AbortSignal;
}

export interface DispersionProgress {
  readonly label: string;
  readonly phase: 'sampling' | 'scoring';
  readonly done: number;
  readonly total: number;
}

export interface PromptWeight {
  readonly id: string;
  readonly w: number;
  readonly prompt: string;
}

/** How w is distributed over a data set. */
export interface Shape {
  readonly count: number;
  readonly sd: Interval;
  readonly skew: Interval;
  /** Middle of the fullest of 40 bins. */
  readonly peak: number;
  /** 1 %, 5 %, 50 %, 95 % and 99 % quantiles. */
  readonly quantiles: readonly [number, number, number, number, number];
  /** Share of rows with w in [.8, 1.2]. */
  readonly within: number;
}

/** w beside what annotators said. Spearman's rank correlation with 95 % bootstrap intervals over rows. */
export interface Agreement {
  readonly count: number;
  /** With the share of annotator pairs that gave the same verdict. */
  readonly withAgreement: Interval;
  /** With |log odds| of the votes (half a vote added to each side): how clearly one answer won. */
  readonly withDecidedness: Interval;
  /** With the mean length of the two answers in tokens, which a correlation with agreement may come from. */
  readonly withLength: Interval;
  /** With agreement at equal length: Spearman's partial correlation. */
  readonly withAgreementAtLength: Interval;
  /** Rows and mean w by agreement. */
  readonly levels: readonly { readonly agreement: number; readonly rows: number; readonly mean: number }[];
}

/** One data set under the model. */
export interface DispersionOfData {
  readonly label: string;
  readonly source: string;
  readonly kind: DataKind;
  readonly format: string;
  readonly badRows: number;
  readonly phiStar: number;
  readonly shape: Shape;
  readonly weights: readonly number[];
  /** Smallest w first. */
  readonly mostDispersed: readonly PromptWeight[];
  /** Largest w first. */
  readonly leastDispersed: readonly PromptWeight[];
  readonly agreement?: Agreement;
}

/** The content of report.json. */
export interface DispersionReport {
  readonly experiment: 'dispersion';
  readonly settings: {
    readonly model: string;
    readonly modelHash: string;
    readonly vocabularySize: number;
    readonly dtype: string;
    readonly rows: number | null;
    readonly reviewAnswers: 'sampled' | 'review';
    readonly openingWords: number;
    readonly maxNewTokens: number;
    readonly maxLength: number;
    readonly seed: number;
  };
  readonly data: readonly DispersionOfData[];
  readonly claims: readonly Claim[];
  readonly findings: readonly string[];
}
