import { bytesPerElement, memory } from '../engine/index.ts';
import { TrainingError } from '../errors.ts';
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
import type { MetricsRecord, RunDirectory, StepTiming } from '../runs/index.ts';
import { isSystemError } from '../system-errors.ts';
import type { BatchOptions, TrainObserver, TrainStatus } from './contract.ts';
import { GradientStore } from './gradients.ts';
import {
  checkpointNotWritten,
  checkpointsDamaged,
  evaluationFailed,
  evaluationNotFinite,
  keptWords,
  weightsNotFinite,
} from './loop-errors.ts';
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
  /** Steps between checkpoints; 0 (default): none by steps. When interrupted, when an evaluation fails and at the end is one. */
  readonly checkpointEvery?: number;
  /** Minutes after which a step is followed by a checkpoint; 0 (default): none by the clock. */
  readonly checkpointMinutes?: number;
  readonly evaluation?: Evaluation;
  readonly observer?: TrainObserver;
  /**
   * When it fires, the step in progress is finished, a checkpoint saved, and the loop returns `interrupted`. An evaluation in
   * progress stops, and is what the resumed run begins with.
   */
  readonly signal?: AbortSignal;
}

/**
 * Looks at the model between steps. Returns metrics without prefix; they are logged as `eval_*`. When it throws, or finds a
 * `loss` that is not finite, a run directory keeps the updates so far, and the resumed run begins with this evaluation.
 */
export interface Evaluation {
  /** Steps between evaluations; 0: at the start and the end only. */
  readonly every: number;
  /** @param signal when it fires, the evaluation may stop by throwing the signal's reason */
  evaluate(step: number, signal?: AbortSignal): Promise<Readonly<Record<string, number>>>;
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
  /** When the last checkpoint was written, or the session began: `performance.now()`. */
  #savedAt = performance.now();
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
    const { evaluation } = this.#options;
    const resumedFrom = await this.#resume();
    // A run that was interrupted before its first step has a checkpoint of step 0, which knows whether this was done.
    if (this.#savedStep < 0 && evaluation !== undefined) this.#pending = { step: 0, epoch: 0 };
    try {
      await this.#train();
    } catch (error) {
      if (!this.#isInterruption(error)) throw error;
    }
    if (this.#savedStep !== this.#step) await this.#checkpoint();
    return {
      status: this.#step === totalSteps && this.#pending === undefined ? 'finished' : 'interrupted',
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

  /** The evaluation that is still owed, and all steps that are. */
  async #train(): Promise<void> {
    const { signal } = this.#options;
    if (this.#pending !== undefined) {
      await this.#logStep();
      // What is saved says that the evaluation is owed.
      if (this.#savedStep === this.#step) await this.#checkpoint();
    }
    while (this.#step < this.#plan.totalSteps && signal?.aborted !== true) {
      await this.#trainStep();
      if (this.#isCheckpointDue()) await this.#checkpoint();
      // Lets signals and the watcher's timers run: a step is synchronous.
      await new Promise(setImmediate);
    }
  }

  #isCheckpointDue(): boolean {
    const { run, checkpointEvery = 0, checkpointMinutes = 0 } = this.#options;
    if (run === undefined) return false;
    if (checkpointEvery > 0 && this.#step % checkpointEvery === 0) return true;
    return checkpointMinutes > 0 && performance.now() - this.#savedAt >= checkpointMinutes * 60_000;
  }

  /** Whether an evaluation stopped because it was asked to. */
  #isInterruption(error: unknown): boolean {
    const { signal } = this.#options;
    return signal?.aborted === true && error === signal.reason;
  }

  async #resume(): Promise<number> {
    const { run, masters, task, observer } = this.#options;
    if (run === undefined) return 0;
    const { checkpoint, damaged } = await run.checkpoints.latest();
    if (checkpoint === undefined) {
      if (damaged.length > 0) throw checkpointsDamaged(run.path, damaged);
      this.#noteLostSteps(run);
      run.startLogs(0);
      return 0;
    }
    for (const { path, reason } of damaged) {
      this.#warn(
        'checkpoint-damaged',
        `The checkpoint ${path} is damaged (${reason}); that of step ${checkpoint.step} is used.`,
      );
    }
    const state = restoreTraining(checkpoint, masters, this.#optimizer);
    task.restore?.(state.task);
    run.checkpoints.removeAfter(checkpoint.step);
    run.startLogs(state.metricsBytes);
    this.#step = checkpoint.step;
    this.#savedStep = checkpoint.step;
    this.#pending = state.pending;
    if (checkpoint.step === this.#plan.totalSteps && state.pending === undefined) {
      this.#metrics.push(...run.metrics().slice(-1));
    }
    observer?.({ type: 'resume', step: checkpoint.step, path: checkpoint.path });
    return checkpoint.step;
  }

  /** Says what a run that was killed before its first checkpoint does again. */
  #noteLostSteps(run: RunDirectory): void {
    const lost = run.loggedStep();
    if (lost === undefined) return;
    const again =
      lost === 0
        ? 'the run begins anew'
        : `its ${lost} ${lost === 1 ? 'step is' : 'steps are'} trained again`;
    this.#warn('no-checkpoint', `No checkpoint was written before the run stopped: ${again}.`);
  }

  #warn(code: string, message: string): void {
    this.#options.observer?.({ type: 'note', level: 'warning', code, message });
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
    const isEnd = this.#step === 0 || this.#step === this.#plan.totalSteps;
    if (!isEnd && (every === 0 || this.#step % every !== 0)) return undefined;
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
    const values = await evaluation.evaluate(step, this.#options.signal);
    if (Number.isFinite(values.loss ?? 0)) return values;
    throw evaluationNotFinite(values.loss);
  }

  /** An evaluation failed: without a checkpoint, all updates since the last one would be lost with it. */
  async #saveAndThrow(error: unknown): Promise<never> {
    const { run } = this.#options;
    if (run === undefined || this.#step === 0 || this.#isInterruption(error)) throw error;
    if (this.#savedStep !== this.#step) await this.#checkpoint();
    throw evaluationFailed(error, this.#step, run.checkpoints.path(this.#step));
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
    this.#options.run?.logTiming(timing);
    this.#options.observer?.({ type: 'step', step: this.#step, totalSteps, metrics, timing });
  }

  async #checkpoint(): Promise<void> {
    const { run, masters, task, observer } = this.#options;
    this.#requireFiniteWeights();
    if (run === undefined) return;
    run.syncLogs();
    const state: LoopState = {
      metricsBytes: run.metricsBytes,
      task: task.state?.() ?? {},
      ...(this.#pending && { pending: this.#pending }),
    };
    const path = await run.checkpoints
      .write(this.#step, state, (directory) => saveTraining(directory, masters, this.#optimizer))
      .catch((error) => Promise.reject(this.#notWritten(run, error)));
    this.#savedStep = this.#step;
    this.#savedAt = performance.now();
    observer?.({ type: 'checkpoint', step: this.#step, path });
  }

  /** The last update may have left weights that no loss was computed with. */
  #requireFiniteWeights(): void {
    const norm = globalNorm([...this.#options.masters.state().values()]);
    if (!Number.isFinite(norm)) throw weightsNotFinite(this.#step, norm, keptWords(this.#savedStep));
  }

  #notWritten(run: RunDirectory, error: unknown): unknown {
    if (!isSystemError(error)) return error;
    const tensors = [this.#options.masters.state(), this.#optimizer.state()].flatMap((state) => [
      ...state.values(),
    ]);
    const bytes = tensors.reduce((sum, { size, dtype }) => sum + size * bytesPerElement[dtype], 0);
    const path = run.checkpoints.path(this.#step);
    return checkpointNotWritten(error, { path, bytes }, keptWords(this.#savedStep));
  }

  #requireFiniteLosses({ items, losses }: Result): void {
    const bad = items.filter((_, index) => !Number.isFinite(losses[index]));
    if (bad.length > 0) throw this.#notFinite('loss-not-finite', 'loss that is not a finite number', bad);
  }

  #notFinite(code: string, what: string, items: readonly number[]): TrainingError {
    const ids = items.map((item) => this.#options.task.id(item)).join(', ');
    return new TrainingError(code, `Step ${this.#step + 1} has a ${what}. Rows: ${ids}.`, {
      hint: `${keptWords(this.#savedStep)} Look at these rows, lower the learning rate, or train in fp32.`,
    });
  }
}
