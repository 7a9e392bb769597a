export { type BatchOptions, batchPlan, type ItemGroups, type MicroBatch } from './batches.ts';
export * from './contract.ts';
export { PAIR_FORMAT_NAMES, PAIR_FORMATS } from './formats/index.ts';
export { canonicalJson, hashValues } from './hash.ts';
export { loadJudged } from './judged.ts';
export { loadLabelled } from './labelled.ts';
export { packedLength, packPairs, packSequences, promptGroups } from './pack.ts';
export type { PackedRow } from './packed.ts';
export { type LoadPairsOptions, loadPairs, type PairStyle, plainText, scoreGap } from './pairs.ts';
export { loadPrompts } from './prompts.ts';
export { countReasons, describeBadRow, REASONS, type ReadOptions, summarizeReasons } from './read.ts';
export { loadSft } from './sft.ts';
export { type HubFetcher, type OpenSource, openSource } from './sources/index.ts';
export {
  DEFAULT_MAX_LENGTH,
  encodePrompt,
  isProblem,
  type PairTokenizer,
  scoredTokens,
  type TokenizeOptions,
  type TokenProblem,
  tokenizePair,
  tokenizeSequence,
} from './tokenize.ts';
export {
  type TokenizeDatasetOptions,
  type Tokenized,
  tokenizePairs,
  tokenizeSequences,
} from './tokenized.ts';
