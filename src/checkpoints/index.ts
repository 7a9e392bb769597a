/** Checkpoints: finding, reading and writing models in the formats that other tools use. */
export {
  type AdapterConfig,
  type AdapterToSave,
  isAdapterDirectory,
  loadAdapter,
  readAdapterConfig,
  saveAdapter,
} from './adapter.ts';
export { exportGguf, type GgufExport } from './gguf/export.ts';
export { type DatasetRequest, hubDatasets } from './hub/datasets.ts';
export {
  type HubProgress,
  type HubSettings,
  HubUnreachable,
  hubSettings,
  type Snapshot,
  type SnapshotOptions,
} from './hub/index.ts';
export { type CheckpointToSave, type OpenCheckpoint, saveDirectory } from './huggingface.ts';
export {
  type FoundCheckpoint,
  type LoadedModel,
  type LoadOptions,
  loadClassifier,
  loadModel,
  modelTensors,
  openModel,
} from './load.ts';
export { type ModelCard, renderModelCard } from './model-card.ts';
export { type ResolvedModel, type ResolveOptions, resolveModel } from './resolve.ts';
export { type SaveOptions, saveModel } from './save.ts';
export type { ModelProvenance, ModelSource } from './source.ts';
export type { WeightType } from './weight-type.ts';
export type { Weights } from './weights.ts';
