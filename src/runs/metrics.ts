/** Means over the pairs (SFT: tokens) of a step; `eval_…` means over the held-out ones. */
export type MeanMetric =
  | 'loss'
  /** Of SFT. */
  | 'perplexity'
  | 'rewards/chosen'
  | 'rewards/rejected'
  | 'rewards/margins'
  /** Share of pairs whose chosen completion has the higher reward; a tie counts ½. */
  | 'rewards/accuracies'
  /** Of a classifier: share of texts whose score has their label's sign; 0 counts ½. */
  | 'accuracy'
  | 'logps/chosen'
  | 'logps/rejected'
  /** log π − log π_ref, where the objective has a reference. */
  | 'log_ratio/chosen'
  | 'log_ratio/rejected'
  /** Mean w(x), where the objective has one. */
  | 'dispersion/mean';

/** What an evaluation measures. */
export type HeldOutMetric =
  | MeanMetric
  /** Mean difference to the evaluation before training. */
  | 'loss_change'
  /** KL(π ‖ π_ref) in nats per answer, on answers that the policy samples. */
  | 'kl/on_policy'
  /** Ends of the 95 % interval over held-out prompts; missing for a single prompt. */
  | `${'loss' | 'accuracy' | 'rewards/accuracies' | 'loss_change'}/${'low' | 'high'}`;

/** The numbers of a step that training writes by itself. */
export type TrainingMetric = 'epoch' | 'grad_norm' | 'learning_rate' | MeanMetric | `eval_${HeldOutMetric}`;

/**
 * One line of `metrics.jsonl`: numbers under TRL's names where they mean the same. Deterministic values only. Which of them a
 * line has depends on the objective and on whether the step was evaluated; a probe's stand beside them as `eval_NAME`.
 */
export type MetricsRecord = { readonly step: number } & {
  readonly [Name in TrainingMetric]?: number | null;
} & Readonly<Record<string, number | null>>;
