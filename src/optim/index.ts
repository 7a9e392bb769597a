export { clipFactor, globalNorm } from './clip.ts';
export {
  type AdamWOptions,
  decays,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerName,
  type OptimizerOptions,
  type RMSpropOptions,
  type SGDOptions,
} from './contract.ts';
export { createOptimizer } from './create.ts';
export { MasterWeights } from './masters.ts';
export {
  createSchedule,
  type Schedule,
  type ScheduleName,
  type ScheduleOptions,
  warmupSteps,
} from './schedule.ts';
export { restoreTensors } from './slots.ts';
