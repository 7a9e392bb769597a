import type { HeldOutValues, MetricValues } from '../../evaluate/index.ts';

/** One finished run of a sweep: which cell of the grid, under which seed, and the measured value. */
export interface SweepRun {
  readonly cell: string;
  readonly seed: number | string;
  readonly value: number;
  /** What the value is the mean of, by the id of the held-out pair or prompt. Absent: not known. */
  readonly rows?: MetricValues;
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
  /** First less second: of means over the held-out rows that all runs of both share, or over seeds. */
  readonly difference: number;
  /** 95 %; null where the seeds' differences do not spread. */
  readonly interval: readonly [number, number] | null;
  /**
   * What chance is taken to move: `seeds-and-prompts` (`crossedDifference`), or seeds alone where there are no rows, by `t`
   * or, with the same difference under every seed, by `sign-flip`.
   */
  readonly kind: 'seeds-and-prompts' | 't' | 'sign-flip';
  readonly seeds: number;
  /** Of the rows; null where there are none. */
  readonly prompts: number | null;
  /** Rows that only some of the runs have, and that are left out. */
  readonly unmatched: number;
  /** Adjusted (Holm) over the sweep's comparisons. */
  readonly pValue: number;
}

export interface SweepSummary {
  /** In the order in which cells first appear. */
  readonly cells: readonly SweepCell[];
  /** All cells with the best mean; none where the cells' values are not of one kind. */
  readonly best: readonly SweepCell[];
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
  /** Least and largest difference that there can be. Default: any. */
  readonly range?: readonly [number, number];
}

/** A run that finished: its last evaluation, metrics without their `eval_`. */
export interface MeasuredRun {
  readonly cell: string;
  readonly seed: number;
  readonly path: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** The held-out pairs and prompts of that evaluation; report.json leaves them out. */
  readonly heldOut?: HeldOutValues;
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
  /** Cells by what the metric goes by, where that is not the same for all and nothing compares them; else null. */
  readonly scales: Readonly<Record<string, readonly string[]>> | null;
  /** Mean and sd over seeds of every metric of every cell. */
  readonly cells: readonly { readonly cell: string; readonly metrics: Readonly<Record<string, Spread>> }[];
  readonly runs: readonly Omit<MeasuredRun, 'heldOut'>[];
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
  /** What a metric goes by in a cell (`metricScale`). Default: the same everywhere. */
  readonly scaleOf?: (cell: string, metric: string) => string | undefined;
}
