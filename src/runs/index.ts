export { CheckpointStore, type DamagedCheckpoint, type SavedCheckpoint } from './checkpoint.ts';
export {
  belongsToRun,
  holdsRun,
  RunDirectory,
  type RunDirectoryOptions,
  readMetrics,
  readProvenance,
  requireFree,
  runStart,
} from './directory.ts';
export { readJson, sha256File, writeFileAtomic } from './files.ts';
export { type JsonLines, JsonLinesWriter, readJsonLines, writeJsonLines } from './jsonl.ts';
export { KeptParts, type KeptPartsNotice } from './kept-parts.ts';
export { RunLock } from './lock.ts';
export type { HeldOutMetric, MeanMetric, MetricsRecord, TrainingMetric } from './metrics.ts';
