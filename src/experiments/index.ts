/** The paper's experiments, run again. */

export type {
  AlignmentExperiment,
  AlignmentReport,
  Comparison as AlignmentComparison,
  Part as AlignmentPart,
  Parts as AlignmentParts,
  TrainedArm,
} from './alignment/contract.ts';
export { alignmentFigures, alignmentPage, writeAlignmentReport } from './alignment/report.ts';
export { runAlignment } from './alignment/run.ts';
export { ALIGNMENT_SCALES, type AlignmentKind, type AlignmentSettings } from './alignment/settings.ts';
export * from './bandit/contract.ts';
export { banditFigures } from './bandit/figures.ts';
export { banditPage, writeBanditReport } from './bandit/report.ts';
export { runBandit } from './bandit/run.ts';
export { BANDIT_BETAS, BANDIT_OBJECTIVES } from './bandit/settings.ts';
export type {
  Agreement as DispersionAgreement,
  DataKind,
  DispersionExperiment,
  DispersionOfData,
  DispersionProgress,
  DispersionReport,
  PromptWeight,
  Shape as DispersionShape,
} from './dispersion/contract.ts';
export { dispersionFigures, dispersionPage, writeDispersionReport } from './dispersion/report.ts';
export { runDispersion } from './dispersion/run.ts';
export * from './estimate/contract.ts';
export { estimateFigure, estimatePage, writeEstimateReport } from './estimate/report.ts';
export { runEstimate } from './estimate/run.ts';
export type { ArmFrontier, FrontierMoment, ImdbExperiment, ImdbReport } from './imdb/contract.ts';
export { imdbFigures, imdbPage, writeImdbReport } from './imdb/report.ts';
export { runImdb } from './imdb/run.ts';
export { IMDB_SCALES, type ImdbSettings } from './imdb/settings.ts';
export { type Arm, type ArmRun, type ArmTraining, armsOf, type Method as ArmMethod } from './shared/arms.ts';
export type { Claim, ClaimVerdict } from './shared/claims.ts';
export type { PipelineOptions } from './shared/pipeline.ts';
export type { EstimatedStage } from './shared/plan.ts';
export type { StageWatch } from './shared/stages.ts';
export * from './sweep/contract.ts';
export { sweepFigures, sweepPage, writeSweepReport } from './sweep/report.ts';
export { sweepAccuracy, sweepReport, sweepVerdict } from './sweep/results.ts';
export { summarizeSweep } from './sweep/summary.ts';
