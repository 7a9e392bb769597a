import { memory } from '../engine/index.ts';
import { MallowsError, TrainingError } from '../errors.ts';
import type { Parameter } from '../nn/parameter.ts';
import {
  clipFactor,
  createOptimizer,
  createSchedule,
  globalNorm,
  type MasterWeights,
  type Optimizer,
  type OptimizerOptions,
  type Schedule,
  type ScheduleOptions,
} from '../optim/index.ts';
import { type MetricsRecord, type RunDirectory, readMetrics } from '../runs/index.ts';
import type { BatchOptions, StepTiming, TrainObserver, TrainStatus } from './contract.ts';
import { GradientStore } from './gradients.ts';
import type { RowPass } from './pass.ts';
import { BatchPlan } from './plan.ts';
import { type LoopState, restoreTraining, saveTraining } from './state.ts';
import type { ItemResults, LoopTask } from './task.ts';

export interface LoopOptions<Result extends ItemResults> {
  readonly task: LoopTask<Result>;
  /** Takes the task's items through the model. */
  readonly rowPass: RowPass<Result>;
  /** What is trained, in a fixed order. */
  readonly parameters: readonly Parameter[];
  readonly masters: MasterWeights;
  readonly optimizer: OptimizerOptions;
  /** Peak of the schedule. */
  readonly learningRate: number;
  readonly schedule?: ScheduleOptions;
  /** Gradients are scaled down to this global norm; 0 means not at all. Default 1, as in TRL. */
  readonly maxGradNorm?: number;
  readonly batch?: BatchOptions;
  readonly steps?: number;
  readonly epochs?: number;
  readonly seed: number;
  readonly shuffle?: boolean;
  /** Where metrics and checkpoints go; absent in memory-only runs. */
  readonly run?: RunDirectory;
  /** Steps between checkpoints; 0 (default): only when interrupted, when an evaluation fails, and at the end. */
  readonly checkpointEvery?: number;
  readonly evaluation?: Evaluation;
  readonly observer?: TrainObserver;
  /** When it fires, the step in progress is finished, a checkpoint saved, and the loop returns `interrupted`. */
  readonly signal?: AbortSignal;
}

/**
 * Looks at the model between steps. Returns metrics without prefix; they are logged as `eval_*`. When it throws, or finds a
 * `loss` that is not finite, a run directory keeps the updates so far, and the resumed run begins with this evaluation.
 */
export interface Evaluation {
  /** Steps between evaluations; 0: at the start and the end only. */
  readonly every: number;
  evaluate(step: number, totalSteps: number): Promise<Readonly<Record<string, number>>>;
}

export interface LoopResult {
  readonly status: TrainStatus;
  /** Updates done, those of earlier sessions included. */
  readonly step: number;
  readonly totalSteps: number;
  /** The step that this session resumed from, 0 for a fresh run. */
  readonly resumedFrom: number;
  /** Every line of metrics of this session; of one that found all steps done, the run's last line. */
  readonly metrics: readonly MetricsRecord[];
}

/**
 * The one training loop; preference tuning, SFT and the training of reward models and classifiers call it. A step is: plan → passes (forward, loss, backward)
 * → clip → update → log. Everything that decides the numbers is a function of the options and the step, so a run that
 * is killed and resumed repeats itself bit for bit.
 */
export async function runLoop<Result extends ItemResults>(options: LoopOptions<Result>): Promise<LoopResult> {
  const loop = new Loop(options);
  try {
    return await loop.run();
  } finally {
    loop.dispose();
  }
}

class Loop<Result extends ItemResults> {
  readonly #options: LoopOptions<Result>;
  readonly #plan: BatchPlan;
  readonly #optimizer: Optimizer;
  readonly #schedule: Schedule;
  readonly #gradients = new GradientStore();
  readonly #metrics: MetricsRecord[] = [];
  #step = 0;
  /** What a step's line of metrics says already, until its evaluation, where one is due, has had its say. */
  #pending: MetricsRecord | undefined;
  #savedStep = -1;
  #sessionSeconds = 0;
  #sessionSteps = 0;

  constructor(options: LoopOptions<Result>) {
    this.#options = options;
    const { task, batch, seed, shuffle, steps, epochs } = options;
    this.#plan = BatchPlan.of(task, {
      ...batch,
      seed,
      ...(shuffle !== undefined && { shuffle }),
      ...(steps !== undefined && { steps }),
      ...(epochs !== undefined && { epochs }),
    });
    this.#optimizer = createOptimizer(options.masters.parameters, options.optimizer);
    this.#schedule = createSchedule(options.learningRate, this.#plan.totalSteps, options.schedule);
  }

  async run(): Promise<LoopResult> {
    const { totalSteps } = this.#plan;
    const { signal, checkpointEvery = 0 } = this.#options;
    const resumedFrom = await this.#resume();
    // A run that was interrupted before its first step has a checkpoint of step 0, and this line in its metrics.
    if (this.#savedStep < 0) await this.#evaluateAtStart();
    if (this.#pending !== undefined) {
      await this.#logStep();
      await this.#checkpoint();
    }
    while (this.#step < totalSteps && signal?.aborted !== true) {
      await this.#trainStep();
      if (checkpointEvery > 0 && this.#step % checkpointEvery === 0) await this.#checkpoint();
      // Lets signals and the watcher's timers run: a step is synchronous.
      await new Promise(setImmediate);
    }
    if (this.#savedStep !== this.#step) await this.#checkpoint();
    return {
      status: this.#step === totalSteps ? 'finished' : 'interrupted',
      step: this.#step,
      totalSteps,
      resumedFrom,
      metrics: this.#metrics,
    };
  }

  dispose(): void {
    this.#gradients.clear();
    this.#optimizer.dispose();
  }

  async #resume(): Promise<number> {
    const { run, masters, task, observer } = this.#options;
    if (run === undefined) return 0;
    const { checkpoint, damaged } = await run.checkpoints.latest();
    for (const { path, reason } of damaged) {
      const message = `The checkpoint ${path} is damaged (${reason}); an earlier one is used.`;
      observer?.({ type: 'note', level: 'warning', code: 'checkpoint-damaged', message });
    }
    if (checkpoint === undefined) {
      run.checkpoints.removeAfter(-1);
      run.startLogs(0);
      return 0;
    }
    const state = restoreTraining(checkpoint, masters, this.#optimizer);
    task.restore?.(state.task);
    run.checkpoints.removeAfter(checkpoint.step);
    run.startLogs(state.metricsBytes);
    this.#step = checkpoint.step;
    this.#savedStep = checkpoint.step;
    this.#pending = state.pending;
    if (checkpoint.step === this.#plan.totalSteps && state.pending === undefined) {
      this.#metrics.push(...readMetrics(run.path).slice(-1));
    }
    observer?.({ type: 'resume', step: checkpoint.step, path: checkpoint.path });
    return checkpoint.step;
  }

  async #evaluateAtStart(): Promise<void> {
    const evaluated = await this.#evaluate(0);
    if (evaluated !== undefined) this.#log({ step: 0, epoch: 0, ...evaluated });
  }

  async #trainStep(): Promise<void> {
    const { parameters, task, rowPass, maxGradNorm = 1 } = this.#options;
    const began = performance.now();
    const { epoch, passes } = this.#plan.step(this.#step);
    const items = passes.flat();
    const totalWeight = items.reduce((sum, item) => sum + task.weight(item), 0);
    const check = (result: Result) => this.#requireFiniteLosses(result);
    const results: Result[] = [];
    let tokens = 0;
    for (const planned of passes) {
      const passed = rowPass({ items: planned, totalWeight, gradients: this.#gradients, check });
      results.push(passed.result);
      tokens += passed.tokens;
    }
    const norm = globalNorm(this.#gradients.values());
    if (!Number.isFinite(norm)) throw this.#notFinite('gradient-not-finite', `gradient norm ${norm}`, items);
    const learningRate = this.#schedule(this.#step);
    this.#optimizer.step(
      parameters.map((parameter) => this.#gradients.get(parameter)),
      learningRate,
      maxGradNorm > 0 ? clipFactor(norm, maxGradNorm) : 1,
    );
    this.#gradients.clear();
    task.advance?.(results);
    this.#step++;
    const seconds = (performance.now() - began) / 1000;
    this.#pending = {
      step: this.#step,
      epoch,
      ...task.metrics(results),
      grad_norm: norm,
      learning_rate: learningRate,
    };
    this.#report(await this.#logStep(), seconds, tokens, items.length);
  }

  /** Evaluates where that is due, and logs the step. */
  async #logStep(): Promise<MetricsRecord> {
    const record = { ...this.#pending!, ...(await this.#evaluateIfDue()) };
    this.#pending = undefined;
    this.#log(record);
    return record;
  }

  async #evaluateIfDue(): Promise<Record<string, number> | undefined> {
    const every = this.#options.evaluation?.every ?? 0;
    const last = this.#step === this.#plan.totalSteps;
    if (!last && (every === 0 || this.#step % every !== 0)) return undefined;
    return await this.#evaluate(this.#step);
  }

  async #evaluate(step: number): Promise<Record<string, number> | undefined> {
    const { evaluation, observer } = this.#options;
    if (evaluation === undefined) return undefined;
    const values = await this.#finiteValues(evaluation, step).catch((error) => this.#saveAndThrow(error));
    const named = Object.fromEntries(Object.entries(values).map(([name, value]) => [`eval_${name}`, value]));
    observer?.({ type: 'evaluation', step, metrics: { step, ...named } });
    return named;
  }

  async #finiteValues(evaluation: Evaluation, step: number): Promise<Readonly<Record<string, number>>> {
    const values = await evaluation.evaluate(step, this.#plan.totalSteps);
    if (Number.isFinite(values.loss ?? 0)) return values;
    throw new TrainingError('evaluation-not-finite', `The held-out loss is ${values.loss}.`, {
      hint: 'Look at the held-out rows; with a lower learning rate or in fp32, train anew.',
    });
  }

  /** An evaluation failed: without a checkpoint, all updates since the last one would be lost with it. */
  async #saveAndThrow(error: unknown): Promise<never> {
    const { run } = this.#options;
    if (run === undefined || this.#step === 0) throw error;
    if (this.#savedStep !== this.#step) await this.#checkpoint();
    const message = `The evaluation after step ${this.#step} failed: ${error instanceof Error ? error.message : error}`;
    const kept = `The updates so far are kept in ${run.checkpoints.path(this.#step)}: resumed (--resume), the run begins with this evaluation.`;
    if (!(error instanceof MallowsError)) {
      throw new TrainingError('evaluation-failed', message, { hint: kept, cause: error });
    }
    throw error.reworded(message, error.hint === undefined ? kept : `${error.hint} ${kept}`);
  }

  #log(record: MetricsRecord): void {
    this.#metrics.push(record);
    this.#options.run?.logMetrics(record);
  }

  #report(metrics: MetricsRecord, seconds: number, tokens: number, items: number): void {
    this.#sessionSeconds += seconds;
    this.#sessionSteps++;
    const { totalSteps } = this.#plan;
    const timing: StepTiming = {
      step: this.#step,
      seconds,
      tokens,
      tokensPerSecond: tokens / seconds,
      itemsPerSecond: items / seconds,
      residentBytes: memory().residentBytes,
      secondsLeft: ((totalSteps - this.#step) * this.#sessionSeconds) / this.#sessionSteps,
    };
    this.#options.run?.logTiming({ ...timing });
    this.#options.observer?.({ type: 'step', step: this.#step, totalSteps, metrics, timing });
  }

  async #checkpoint(): Promise<void> {
    const { run, masters, task, observer } = this.#options;
    if (run === undefined) return;
    run.syncLogs();
    const state: LoopState = {
      metricsBytes: run.metricsBytes,
      task: task.state?.() ?? {},
      ...(this.#pending && { pending: this.#pending }),
    };
    const path = await run.checkpoints.write(this.#step, state, (directory) =>
      saveTraining(directory, masters, this.#optimizer),
    );
    this.#savedStep = this.#step;
    observer?.({ type: 'checkpoint', step: this.#step, path });
  }

  #requireFiniteLosses({ items, losses }: Result): void {
    const bad = items.filter((_, index) => !Number.isFinite(losses[index]));
    if (bad.length > 0) throw this.#notFinite('loss-not-finite', 'loss that is not a finite number', bad);
  }

  #notFinite(code: string, what: string, items: readonly number[]): TrainingError {
    const { run, task } = this.#options;
    const ids = items.map((item) => task.id(item)).join(', ');
    const kept = run?.checkpoints.steps().at(-1);
    return new TrainingError(code, `Step ${this.#step + 1} has a ${what}. Rows: ${ids}.`, {
      hint:
        `${kept === undefined ? 'No checkpoint was written yet.' : `The checkpoint of step ${kept} is kept.`} ` +
        'Look at these rows, lower the learning rate, or train in fp32.',
    });
  }
}
