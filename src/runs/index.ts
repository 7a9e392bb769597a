export { CheckpointStore, type DamagedCheckpoint, requireKeep, type SavedCheckpoint } from './checkpoint.ts';
export { RunDirectory, type RunDirectoryOptions, requireFree, runStart } from './directory.ts';
export { readJson, sha256File, writeFileAtomic } from './files.ts';
export { type JsonLines, JsonLinesWriter, readJsonLines, writeJsonLines } from './jsonl.ts';
export { KeptParts, type KeptPartsNotice } from './kept-parts.ts';
export { RunLock } from './lock.ts';
export type { HeldOutMetric, MeanMetric, MetricsRecord, TrainingMetric } from './metrics.ts';
export { belongsToRun } from './overwrite.ts';
export { RunReader } from './read.ts';
export {
  type CompletionLogp,
  type CompletionScore,
  type DataOrigin,
  type EvaluatedPair,
  type EvaluationRecords,
  MADE_OF_MODEL,
  type PairLogps,
  type PairScore,
  type PairWeight,
  type PromptKl,
  type Provenance,
  RUN_FILES,
  type RunFile,
  type RunRecords,
  type Sample,
  type StepTiming,
} from './records.ts';
export { decisiveValues, holdsRun, recipeDifference } from './same-run.ts';
