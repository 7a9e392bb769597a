import type { PromptOverlap } from '../../evaluate/index.ts';
import type { DispersionSource, ObjectiveOptions } from '../../objectives/index.ts';
import type { MetricsRecord } from '../../runs/index.ts';
import type { Summary } from '../../stats/index.ts';
import type { Figure } from '../figure.ts';

/** What every held-out pair became, before training and after it, in the same order. */
export interface HeldOutPairs {
  /** Names each pair's prompt. Intervals are over prompts: pairs that share one are not independent. */
  readonly prompts: readonly string[];
  readonly lossesBefore: Float64Array;
  readonly lossesAfter: Float64Array;
  /** Implicit reward of the chosen completion minus that of the rejected one. */
  readonly marginsBefore: Float64Array;
  readonly marginsAfter: Float64Array;
  /** 1 where the chosen completion has the higher reward, ½ where they tie. */
  readonly correctBefore: Float64Array;
  readonly correctAfter: Float64Array;
  /** log π − log π_ref of the chosen completions after training, nats; absent where no reference was asked. */
  readonly chosenLogRatios?: Float64Array;
  /** After training: 1 where the chosen completion has the higher log-ratio, ½ where they tie; absent likewise. */
  readonly correctByLogRatio?: Float64Array;
}

/** KL(π ‖ π_ref) of what the policy itself wrote at one evaluation. */
export interface MeasuredKl {
  readonly step: number;
  readonly prompts: readonly string[];
  /** Of each prompt's answer, nats. */
  readonly kls: Float64Array;
}

export interface PromptDispersion {
  readonly id: string;
  readonly prompt: string;
  /** w(x), mean 1 over the training pairs. What its ends mean depends on its source. */
  readonly negLogDispersion: number;
}

/** w(x) of the training pairs, as training used them. */
export interface UsedDispersion {
  readonly prompts: readonly PromptDispersion[];
  readonly phiStar: number;
  readonly source: Exclude<DispersionSource, 'none'>;
  /** The control: the weights were dealt to the prompts at random, so a prompt's w says nothing about it. */
  readonly shuffled: boolean;
}

export interface TrainingReportInput {
  /**
   * Of preference tuning, which is judged by `heldOut`: the objective with its coefficients. Absent: supervised fine-tuning,
   * which is judged by the held-out loss in its metrics.
   */
  readonly objective?: ObjectiveOptions;
  /** What was trained and how, in a few words. */
  readonly title: string;
  readonly subtitle: string;
  readonly metrics: readonly MetricsRecord[];
  /** False when the run stopped before its last step. */
  readonly finished: boolean;
  readonly heldOut?: HeldOutPairs;
  /** By step, for the intervals of `eval_kl/on_policy`. */
  readonly kl?: readonly MeasuredKl[];
  /** Where the objective uses it. */
  readonly dispersion?: UsedDispersion;
  readonly samples: readonly { readonly prompt: string; readonly before: string; readonly after: string }[];
  /** `recipe.yaml`. */
  readonly recipe: string;
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface TrainingReport {
  readonly html: string;
  readonly figures: readonly Figure[];
  /** `report.json`. */
  readonly numbers: TrainingNumbers;
}

export interface TrainingNumbers {
  readonly finished: boolean;
  readonly steps: number;
  readonly verdict: readonly string[];
  readonly data?: DataNumbers;
  readonly heldOut?: HeldOutNumbers;
  /** Of supervised fine-tuning: the loss of held-out tokens at the first evaluation and the last, nats. */
  readonly heldOutTexts?: { readonly before: HeldOutLoss; readonly after: HeldOutLoss };
  /** At every evaluation that measured it, nats. */
  readonly kl?: readonly KlLevel[];
  readonly dispersion?: Summary & Pick<UsedDispersion, 'phiStar' | 'source' | 'shuffled'>;
  readonly final: Readonly<Record<string, number | null>>;
}

export interface RowCounts {
  readonly usable: number;
  readonly bad?: number;
}

/** What a run's provenance says of its rows that bears on its results. */
export interface DataNumbers {
  /** Usable rows, and those that were left out as unusable. */
  readonly rows?: { readonly train: RowCounts; readonly heldOut: RowCounts };
  /** Pairs whose votes do not favour the chosen side: training leaves them out, evaluation keeps them. */
  readonly contested?: { readonly train: number; readonly heldOut: number };
  readonly promptOverlap?: PromptOverlap;
}

/** Held-out pairs in numbers; every change is the paired one. */
export interface HeldOutNumbers {
  readonly pairs: number;
  readonly prompts: number;
  readonly lossBefore: number;
  readonly loss: Estimate;
  readonly lossChange: Estimate;
  readonly marginBefore: number;
  readonly marginChange: Estimate;
  /** ½ where rewards are measured from the reference: training starts from it, so all pairs tie. */
  readonly accuracyBefore: number;
  readonly accuracy: Estimate;
  readonly accuracyChange: Estimate;
  /**
   * Of log π − log π_ref, as runs of different objectives are compared; only where the objective's own reward may order
   * pairs otherwise.
   */
  readonly accuracyByLogRatio?: Estimate;
  /** log π − log π_ref of the chosen completions after training, nats. */
  readonly chosenLogRatio?: Estimate;
  /** Whether the upper end of the loss's interval is below ln 2; absent where the loss did not start there. */
  readonly belowLn2?: boolean;
}

/** A number with its interval. */
export interface Estimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** A mean over held-out texts; without an interval where they have one prompt. */
export interface HeldOutLoss {
  readonly step: number;
  readonly loss: number;
  readonly interval?: readonly [low: number, high: number];
}

/** A mean over prompts; without an interval where there is one, or where their own KLs are not known. */
export interface KlLevel {
  readonly step: number;
  readonly kl: number;
  readonly interval?: readonly [low: number, high: number];
}
