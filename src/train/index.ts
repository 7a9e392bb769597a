/** Training: preference tuning and SFT as two callers of one loop, and the scores that both start from. */
export type {
  BatchOptions,
  TrainEvent,
  TrainObserver,
  TrainPhase,
  TrainStatus,
} from './contract.ts';
export { sequenceKl, type WithReference } from './kl.ts';
export type { LoopResult } from './loop.ts';
export {
  countParameters,
  estimateMemory,
  type MemoryEstimate,
  type MemoryOptions,
} from './memory.ts';
export { mergeAdapters } from './merge-adapters.ts';
export type { CheckpointOptions, EvaluationOptions, LoraTraining, TrainOptions } from './options.ts';
export { type ComputePrecision, resolvePrecision, type TrainingDType } from './precision.ts';
export { type PreferenceOptions, type PreferenceResult, trainPreference } from './preference.ts';
export type {
  DispersionTraining,
  PairSources,
  PairsInput,
  PreferenceDataOptions,
} from './preference-data.ts';
export type { Probe, ProbedPolicy } from './preference-evaluator.ts';
export { type ScoreOptions, scorePairs } from './score.ts';
export type { ReferenceCache, ReferenceKey } from './score-store.ts';
export { type SftInput, type SftOptions, type SftResult, trainSft } from './sft.ts';
export { memoryFacts, type RowsInput, type SplitOptions } from './splits.ts';
