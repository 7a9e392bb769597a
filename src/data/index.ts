export * from './contract.ts';
export { PAIR_FORMAT_NAMES, PAIR_FORMATS } from './formats/index.ts';
export { canonicalJson, hashValues } from './hash.ts';
export { type LoadPairsOptions, loadPairs, type PairStyle, plainText, scoreGap } from './pairs.ts';
export { countReasons, describeBadRow, REASONS, type ReadOptions } from './read.ts';
export { type HubFetcher, type OpenSource, openSource } from './sources/index.ts';
