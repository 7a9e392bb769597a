export {
  requireUpdateSize,
  type UpdateSize,
  type UpdateSizeProblem,
  updateSizeProblems,
} from './batch-wide.ts';
export { type Composition, compose } from './compose.ts';
export * from './contract.ts';
export * from './custom.ts';
export * from './dispersion.ts';
export * as links from './links.ts';
export { type MallowsPhiOptions, type MallowsPhiSmoothing, mallowsPhi } from './mallows-phi.ts';
export * as margins from './margin.ts';
export { type ObjectiveName, PRESETS, type Preset } from './presets.ts';
export * from './registry.ts';
export type { NamedRow } from './rows.ts';
export * as scales from './scale.ts';
export * as scores from './score.ts';
export { requireScoreGaps, type ScoreGapRow } from './score-gaps.ts';
export * as terms from './terms.ts';
