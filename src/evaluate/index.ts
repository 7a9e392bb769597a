export { type Answers, pairAnswers, readAnswers } from './answers.ts';
export * from './compare/index.ts';
export * from './judge/index.ts';
export * from './reward/index.ts';
export * from './server/index.ts';
export {
  type AnnotationRow,
  type GamedRow,
  type InstructionItem,
  type ModelAnnotations,
  readAnnotations,
  readGamed,
  readItems,
} from './winrate/annotations.ts';
export { type WinRate, type WinRateContext, winRate } from './winrate/win-rate.ts';
