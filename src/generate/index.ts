/** Generation: batched decoding with a key/value cache, and the choice of the next token. */
export {
  type Completion,
  checkPrompts,
  type GenerateOptions,
  type GenerateProgress,
  generate,
  outgrownNotice,
} from './generate.ts';
export { type ChosenTokens, createSampler, type Sampler, type SamplingOptions } from './sampler.ts';
export { chatGenerationConfig, stopTokensFor } from './stop-tokens.ts';
