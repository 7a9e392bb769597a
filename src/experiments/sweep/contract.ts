import type { TTestResult } from '../../stats/index.ts';

/** One finished run of a sweep: which cell of the grid, under which seed, and the measured value. */
export interface SweepRun {
  readonly cell: string;
  readonly seed: number | string;
  readonly value: number;
}

export interface SweepCell {
  readonly cell: string;
  readonly seeds: number;
  readonly mean: number;
  /** Sample standard deviation over seeds; NaN for one seed. */
  readonly sd: number;
}

/** Two cells over the seeds that both have. */
export interface SweepComparison {
  readonly first: string;
  readonly second: string;
  readonly test: TTestResult;
  /** `sign-flip` where the difference is the same under every seed. */
  readonly kind: 't' | 'sign-flip';
  /** Adjusted (Holm) over the sweep's comparisons. */
  readonly pValue: number;
}

export interface SweepSummary {
  /** In the order in which cells first appear. */
  readonly cells: readonly SweepCell[];
  readonly best: SweepCell;
  readonly comparisons: readonly SweepComparison[];
  /** Comparisons with fewer than two common seeds. */
  readonly unmeasured: readonly (readonly [first: string, second: string])[];
}

export interface SweepOptions {
  readonly higherIsBetter: boolean;
  /** Compare every other cell with this one. Default: every two cells. */
  readonly baseline?: string;
  /** Leaves out pairs of cells whose comparison answers no question. Default: none. */
  readonly compares?: (first: string, second: string) => boolean;
}

/** A run that finished: its last evaluation, metrics without their `eval_`. */
export interface MeasuredRun {
  readonly cell: string;
  readonly seed: number;
  readonly path: string;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface FailedRun {
  readonly cell: string;
  readonly seed: number;
  readonly path: string;
  readonly attempts: number;
  readonly error: string;
}

/** The content of a sweep's report.json. */
export interface SweepReport {
  readonly experiment: 'sweep';
  readonly settings: {
    readonly recipe: string | null;
    readonly set: readonly string[];
    readonly grid: Readonly<Record<string, readonly string[]>>;
    readonly seeds: number;
    readonly metric: string;
    /** The cell that every other one is tested against; null: every two comparable ones are tested. */
    readonly baseline: string | null;
    readonly higherIsBetter: boolean;
    readonly controls: readonly string[];
  };
  readonly summary: SweepSummary | null;
  /** Mean and sd over seeds of every metric of every cell. */
  readonly cells: readonly { readonly cell: string; readonly metrics: Readonly<Record<string, Spread>> }[];
  readonly runs: readonly MeasuredRun[];
  readonly failed: readonly FailedRun[];
  readonly unfinished: readonly { readonly cell: string; readonly seed: number }[];
}

export interface Spread {
  readonly mean: number;
  /** Null for a single seed. */
  readonly sd: number | null;
}

export interface SweepResults {
  readonly settings: SweepReport['settings'];
  readonly runs: readonly MeasuredRun[];
  readonly failed: readonly FailedRun[];
  readonly unfinished: SweepReport['unfinished'];
  /** Which two cells are tested against each other. */
  readonly compares: (first: string, second: string) => boolean;
}
