import type { LoadedModel } from '../checkpoints/index.ts';
import { type Device, resolveDevice } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import type { Trunk } from '../models/contract.ts';
import { createOptimizer, createSchedule, type OptimizerOptions } from '../optim/index.ts';
import { requireFree, requireKeep, runStart } from '../runs/index.ts';
import type { TrainEvent } from './contract.ts';
import { defined } from './defined.ts';
import { requireFraction, requireMaxPairs } from './holdout.ts';
import { DEFAULT_LEARNING_RATES, type TrainOptions } from './options.ts';
import { BatchPlan, type PlanOptions } from './plan.ts';
import { type ComputePrecision, resolvePrecision } from './precision.ts';

/** What is settled before a model is loaded. */
export interface RunSetup {
  readonly device: Device;
  readonly precision: ComputePrecision;
  readonly optimizer: OptimizerOptions;
  /** Peak. */
  readonly learningRate: number;
  readonly seed: number;
  /** When the run began: of one that is resumed, its first session. */
  readonly started: Date;
}

const DEFAULT_OPTIMIZER: OptimizerOptions = { name: 'adamw' };

/**
 * Settles what needs no model. What the options alone rule out is an error here, before anything is loaded or written.
 *
 * @param fullLearningRate the default for training all weights
 */
export function setUpRun(options: TrainOptions, fullLearningRate: number): RunSetup {
  const { model, output, lora, seed = 0, optimizer = DEFAULT_OPTIMIZER } = options;
  const emit = (event: TrainEvent) => options.observer?.(event);
  const warn = (code: string, message: string) => emit({ type: 'note', level: 'warning', code, message });
  if (output !== undefined) requireFree(output, { ...options, notice: warn });
  else if (options.resume === true) {
    throw new UsageError('resume-without-output', 'resume needs the run directory to go on with.', {
      hint: 'Give output.',
    });
  }
  const learningRate =
    options.learningRate ?? (lora === undefined ? fullLearningRate : DEFAULT_LEARNING_RATES.lora);
  requireFraction(options.evalFraction);
  requireMaxPairs(options.evaluation?.maxPairs);
  requireKeep(options.checkpoint?.keep);
  BatchPlan.check(planOptions(options));
  createSchedule(learningRate, 1, options.schedule);
  createOptimizer([], optimizer).dispose();
  emit({ type: 'phase', phase: 'load' });
  const device = typeof model === 'string' ? resolveDevice(options.device) : deviceOf(model, options.device);
  const precision = resolvePrecision(options.dtype ?? 'auto', device);
  emit({
    type: 'note',
    level: 'info',
    code: 'precision',
    message: `Computing in ${precision.dtype} on ${device}. ${precision.reason}`,
  });
  return { device, precision, optimizer, learningRate, seed, started: runStart(output, options) };
}

/** How much an update reads, and how many there are. */
export function planOptions({ batch, seed = 0, steps, epochs, shuffle }: TrainOptions): PlanOptions {
  return { ...batch, seed, ...defined<Omit<PlanOptions, 'seed'>>({ steps, epochs, shuffle }) };
}

/** A model in memory is trained where it is: another place that was asked for is an error. */
function deviceOf({ model }: LoadedModel<Trunk>, wanted: TrainOptions['device'] = 'auto'): Device {
  const exact = (device: Device) => (device === 'cuda' ? 'cuda:0' : device);
  if (wanted === 'auto' || exact(wanted) === exact(model.device)) return model.device;
  throw new UsageError(
    'device-differs',
    `The model to train is on ${model.device}; ${wanted} was asked for, and it is not moved.`,
    { hint: `Load it there (loadModel(…, { device: '${wanted}' })), or leave device out.` },
  );
}
