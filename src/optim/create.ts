import { AdamW } from './adamw.ts';
import type { OptimizedParameter, Optimizer, OptimizerOptions } from './contract.ts';
import { RMSprop } from './rmsprop.ts';
import { SGD } from './sgd.ts';

/** Builds the optimiser that a recipe names. A new one is a file and a line here. */
export function createOptimizer(
  parameters: readonly OptimizedParameter[],
  options: OptimizerOptions,
): Optimizer {
  switch (options.name) {
    case 'adamw':
      return new AdamW(parameters, options);
    case 'rmsprop':
      return new RMSprop(parameters, options);
    case 'sgd':
      return new SGD(parameters, options);
    default:
      throw new Error(`internal: unknown optimiser ${(options satisfies never as OptimizerOptions).name}`);
  }
}
