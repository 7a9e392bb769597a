export type { ItemGroups } from './batches.ts';
export * from './contract.ts';
export { PAIR_FORMAT_NAMES } from './formats/index.ts';
export { canonicalJson, hashValues } from './hash.ts';
export { loadLabelled } from './labelled.ts';
export { packedLength, packPairs, packSequences, promptGroups } from './pack.ts';
export type { PackedRow } from './packed.ts';
export { type LoadPairsOptions, loadPairs, type PairStyle, scoreGap } from './pairs.ts';
export { distinctPrompts, lastTurn, promptKey, promptWriting } from './prompt-identity.ts';
export { loadPrompts } from './prompts.ts';
export { countReasons, describeBadRow, REASONS, type ReadOptions, summarizeReasons } from './read.ts';
export { loadSft } from './sft.ts';
export type { DataSource, HubFetcher, Rows } from './sources/index.ts';
export { plainText } from './text.ts';
export {
  defaultMaxLength,
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
export { loadVoted } from './voted.ts';
