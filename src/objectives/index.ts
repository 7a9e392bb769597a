export { type Composition, compose } from './compose.ts';
export * from './contract.ts';
export * from './custom.ts';
export * from './dispersion.ts';
export * as links from './links.ts';
export { type MallowsPhiOptions, type MallowsPhiSmoothing, mallowsPhi } from './mallows-phi.ts';
export { type ObjectiveName, PRESETS } from './presets.ts';
export * from './registry.ts';
