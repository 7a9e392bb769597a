/**
 * What the commands compute, as a library. The running of a sweep and the report that is made of a run directory belong to the
 * command line (src/cli) and are not exported.
 *
 *     import { trainPreference } from 'mallowspo';
 *
 *     await trainPreference({ model: 'smollm2-135m', data: 'pairs.jsonl', output: 'runs/first' });
 */
export * from './checkpoints/index.ts';
export { type ReadRecipe, readPreferenceRecipe, readSftRecipe } from './config/index.ts';
export * from './data/index.ts';
export * from './engine/index.ts';
export * from './errors.ts';
export * from './evaluate/index.ts';
export * from './experiments/index.ts';
export * from './generate/index.ts';
export * from './models/index.ts';
export * from './nn/index.ts';
export * from './objectives/index.ts';
export * from './optim/index.ts';
export * from './report/index.ts';
export * from './runs/index.ts';
export * from './stats/index.ts';
export * from './text/index.ts';
export * from './train/index.ts';
export * from './units.ts';
