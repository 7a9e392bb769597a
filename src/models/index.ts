/** Language models: configuration, architectures, attention. */
export { packedAttention } from './attention/packed.ts';
export type { Gpt2Config, GptNeoXConfig, LlamaConfig, SupportedConfig } from './config/contract.ts';
export { readModelConfig, SUPPORTED_MODEL_TYPES } from './config/read.ts';
export type {
  AttentionCall,
  AttentionPlan,
  CausalLM,
  ForwardContext,
  Layer,
  Lookup,
  ModelConfig,
  ModelFamily,
  Segment,
  SequenceClassifier,
  Trunk,
} from './contract.ts';
export { linearsOf } from './linears.ts';
export type { Placement, WeightSource } from './parameter-source.ts';
export { createClassifier, createModel, initialiseClassifier, initialiseModel } from './registry.ts';
