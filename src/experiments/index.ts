/** The paper's experiments, run again. */

export * from './alignment.ts';
export type { Comparison as AlignmentComparison } from './alignment-claims.ts';
export type { Part as AlignmentPart, Parts as AlignmentParts } from './alignment-data.ts';
export { alignmentFigures, alignmentPage, writeAlignmentReport } from './alignment-report.ts';
export { ALIGNMENT_SCALES, type AlignmentKind, type AlignmentSettings } from './alignment-settings.ts';
export { type Arm, type ArmTraining, armsOf, type Method as ArmMethod } from './arms.ts';
export * from './bandit.ts';
export { banditFigures } from './bandit-figures.ts';
export type { FreshComparison, FreshOptions, FreshReport } from './bandit-fresh.ts';
export type { PoolOptions } from './bandit-pool.ts';
export { banditPage, writeBanditReport } from './bandit-report.ts';
export type { BanditObjective } from './bandit-train.ts';
export type { Claim, Verdict } from './claims.ts';
export * from './dispersion.ts';
export type { Agreement as DispersionAgreement, Shape as DispersionShape } from './dispersion-claims.ts';
export { dispersionFigures, dispersionPage, writeDispersionReport } from './dispersion-report.ts';
export * from './estimate.ts';
export { estimateFigure, estimatePage, writeEstimateReport } from './estimate-report.ts';
export * from './imdb.ts';
export type { FrontierMoment } from './imdb-frontier.ts';
export { imdbFigures, imdbPage, writeImdbReport } from './imdb-report.ts';
export { IMDB_SCALES, type ImdbSettings } from './imdb-settings.ts';
export type { PipelineOptions } from './pipeline.ts';
export type { EstimatedStage } from './plan.ts';
export type { StageWatch } from './stages.ts';
export * from './sweep.ts';
export * from './sweep-report.ts';
