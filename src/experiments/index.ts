/** The paper's experiments, run again. */
export * from './bandit.ts';
export { banditFigures } from './bandit-figures.ts';
export { banditPage, writeBanditReport } from './bandit-report.ts';
export type { Claim, Verdict } from './claims.ts';
export * from './dispersion.ts';
export { dispersionFigures, dispersionPage, writeDispersionReport } from './dispersion-report.ts';
export * from './estimate.ts';
export { estimateFigure, estimatePage, writeEstimateReport } from './estimate-report.ts';
export * from './sweep.ts';
export * from './sweep-report.ts';
