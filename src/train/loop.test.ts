import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import { memory, noGrad, ops, setThreads, tensor, tidy } from '../engine/index.ts';
import { UsageError } from '../errors.ts';
import { createObjective, type Objective } from '../objectives/index.ts';
import { MasterWeights } from '../optim/index.ts';
import { RunDirectory, RunReader } from '../runs/index.ts';
import type { BatchOptions, TrainEvent } from './contract.ts';
import { type LoopOptions, runLoop } from './loop.ts';
import { checkpointMinutes } from './options.ts';
import { languageModelPass } from './pass.ts';
import { type PreferenceResults, PreferenceTask } from './preference-task.ts';
import { scoreRow } from './score.ts';
import { SftTask } from './sft-task.ts';

setThreads(1);

function setUp(objective: Objective = createObjective({ name: 'dpo' })) {
  const model = tinyModel('llama', 'float32', 1, { initializer_range: 0.1 });
  const pairs = tinyPairs(10);
  const reference = scoreRow(model, pairs);
  const parameters = [...model.parameters.values()];
  const masters = new MasterWeights(parameters, 'float32');
  const task = new PreferenceTask({ pairs, reference }, objective);
  const options: LoopOptions<PreferenceResults> = {
    parameters,
    masters,
    task,
    rowPass: languageModelPass(model, task),
    optimizer: { name: 'adamw' },
    learningRate: 3e-3,
    seed: 0,
    batch: { pairs: 2, accumulate: 2 },
    steps: 6,
  };
  return { model, options };
}

function temporaryRun(resume = false, path = join(mkdtempSync(join(tmpdir(), 'mallows-loop-')), 'run')) {
  const run = RunDirectory.open(path, { recipe: { name: 'test' }, provenance: {}, resume });
  return { run, path };
}

const weights = (path: string, step: number) =>
  readFileSync(join(path, `checkpoints/step-${step}/weights.safetensors`));

describe('the loop', () => {
  it('starts at ln 2, learns the pairs, and logs under TRL’s names', async () => {
    const { model, options } = setUp();
    const { status, metrics } = await runLoop({ ...options, steps: 40 });
    expect(status).toBe('finished');
    expect(metrics[0]!.loss).toBeCloseTo(Math.LN2, 5);
    expect(metrics[0]!['rewards/accuracies']).toBeLessThanOrEqual(1);
    expect(metrics.at(-1)!.loss!).toBeLessThan(0.4);
    expect(metrics.at(-1)!['rewards/accuracies']).toBe(1);
    expect(Object.keys(metrics[0]!).sort()).toEqual([
      'epoch',
      'grad_norm',
      'learning_rate',
      'log_ratio/chosen',
      'log_ratio/rejected',
      'logps/chosen',
      'logps/rejected',
      'loss',
      'rewards/accuracies',
      'rewards/chosen',
      'rewards/margins',
      'rewards/rejected',
      'step',
    ]);
    model.dispose();
  });

  it('gives the same update however a step is split into passes', async () => {
    const losses: number[][] = [];
    const norms: number[][] = [];
    for (const batch of [{ pairs: 4 }, { pairs: 2, accumulate: 2 }, { pairs: 1, accumulate: 4 }]) {
      const { model, options } = setUp();
      const { metrics } = await runLoop({ ...options, batch, shuffle: false, steps: 3 });
      losses.push(metrics.map(({ loss }) => loss!));
      norms.push(metrics.map((m) => m.grad_norm!));
      model.dispose();
    }
    for (const other of [1, 2]) {
      for (const step of [0, 1, 2]) {
        expect(losses[other]![step]).toBeCloseTo(losses[0]![step]!, 4);
        expect(norms[other]![step]! / norms[0]![step]!).toBeCloseTo(1, 3);
      }
    }
  });

  it('holds no tensor after 100 steps that it did not hold after 2', async () => {
    const { model, options } = setUp();
    const live: number[] = [];
    const observer = (event: TrainEvent) => event.type === 'step' && live.push(memory().liveTensors);
    await runLoop({ ...options, steps: 100, observer });
    expect(live).toHaveLength(100);
    expect(new Set(live.slice(1)).size).toBe(1);
    model.dispose();
  });

  it.each(['adamw', 'rmsprop', 'sgd'] as const)(
    'stopped and resumed, repeats itself bit for bit: %s',
    async (name) => {
      const optimizer = name === 'sgd' ? { name, momentum: 0.9 } : { name };
      const whole = temporaryRun();
      const a = setUp();
      await runLoop({ ...a.options, optimizer, run: whole.run });
      whole.run.close();
      a.model.dispose();

      const stop = new AbortController();
      const first = temporaryRun();
      const b = setUp();
      const observer = (event: TrainEvent) => event.type === 'step' && event.step === 3 && stop.abort();
      const stopped = await runLoop({
        ...b.options,
        optimizer,
        run: first.run,
        signal: stop.signal,
        observer,
      });
      expect(stopped).toMatchObject({ status: 'interrupted', step: 3 });
      // A line from a future that the resumed run computes again.
      first.run.logMetrics({ step: 4, loss: -1 });
      first.run.close();
      b.model.dispose();

      const second = temporaryRun(true, first.path);
      const c = setUp();
      const resumed = await runLoop({ ...c.options, optimizer, run: second.run });
      second.run.close();
      c.model.dispose();
      expect(resumed).toMatchObject({ status: 'finished', resumedFrom: 3, step: 6 });
      expect(readFileSync(join(second.path, 'metrics.jsonl'))).toEqual(
        readFileSync(join(whole.path, 'metrics.jsonl')),
      );
      expect(weights(second.path, 6).equals(weights(whole.path, 6))).toBe(true);
      expect(new RunReader(whole.path).metrics().map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    },
  );

  it('resumed after its last step, it has nothing to do and says what was measured last', async () => {
    const evaluation = { every: 0, evaluate: async (step: number) => ({ loss: step }) };
    const first = temporaryRun();
    const a = setUp();
    const { metrics } = await runLoop({ ...a.options, evaluation, run: first.run });
    first.run.close();
    a.model.dispose();
    const written = readFileSync(join(first.path, 'metrics.jsonl'));
    const again = temporaryRun(true, first.path);
    const b = setUp();
    const resumed = await runLoop({ ...b.options, evaluation, run: again.run });
    again.run.close();
    b.model.dispose();
    expect(resumed).toMatchObject({ status: 'finished', resumedFrom: 6, step: 6 });
    expect(resumed.metrics).toEqual(metrics.slice(-1));
    expect(resumed.metrics[0]).toMatchObject({ step: 6, eval_loss: 6 });
    expect(readFileSync(join(first.path, 'metrics.jsonl'))).toEqual(written);
  });

  it('resumes a plan that keeps prompts together, which differs from the one that does not', async () => {
    const pairs = tinyPairs(12).map((pair, i, all) => ({ ...pair, prompt: all[i % 4]!.prompt }));
    const train = async (batch: BatchOptions, stopAt?: number, path?: string) => {
      const { model, options } = setUp();
      const task = new PreferenceTask(
        { pairs, reference: scoreRow(model, pairs) },
        createObjective({ name: 'dpo' }),
      );
      const stop = new AbortController();
      const observer = (event: TrainEvent) => event.type === 'step' && event.step === stopAt && stop.abort();
      const opened = temporaryRun(path !== undefined, path);
      const rowPass = languageModelPass(model, task);
      await runLoop({ ...options, task, rowPass, batch, run: opened.run, observer, signal: stop.signal });
      opened.run.close();
      model.dispose();
      return opened.path;
    };
    const whole = await train({ pairs: 3, groupPrompts: true });
    const resumed = await train(
      { pairs: 3, groupPrompts: true },
      undefined,
      await train({ pairs: 3, groupPrompts: true }, 4),
    );
    expect(weights(resumed, 6).equals(weights(whole, 6))).toBe(true);
    const apart = await train({ pairs: 3 });
    expect(weights(apart, 6).equals(weights(whole, 6))).toBe(false);
  });

  it('keeps what an objective carries from step to step', async () => {
    const create = () => createObjective({ name: 'beta-dpo' });
    const whole = setUp(create());
    const { metrics } = await runLoop(whole.options);
    whole.model.dispose();
    const stop = new AbortController();
    const { run, path } = temporaryRun();
    const first = setUp(create());
    const observer = (event: TrainEvent) => event.type === 'step' && event.step === 3 && stop.abort();
    await runLoop({ ...first.options, run, signal: stop.signal, observer });
    run.close();
    first.model.dispose();
    const second = setUp(create());
    const again = temporaryRun(true, path);
    const resumed = await runLoop({ ...second.options, run: again.run });
    again.run.close();
    second.model.dispose();
    expect(resumed.metrics).toEqual(metrics.slice(3));
  });

  it('writes checkpoints as asked and keeps the last', async () => {
    const { run, path } = temporaryRun();
    const { model, options } = setUp();
    const saved: number[] = [];
    const observer = (event: TrainEvent) => event.type === 'checkpoint' && saved.push(event.step);
    await runLoop({ ...options, run, checkpointEvery: 2, steps: 7, observer });
    run.close();
    expect(saved).toEqual([2, 4, 6, 7]);
    expect(readdirSync(join(path, 'checkpoints'))).toEqual(['step-7']);
    model.dispose();
  });

  it.each([
    [15, [7]],
    [1e-9, [1, 2, 3, 4, 5, 6, 7]],
    [0, [7]],
  ])('writes checkpoints by the clock: every %d minutes', async (checkpointMinutes, expected) => {
    const { run } = temporaryRun();
    const { model, options } = setUp();
    const saved: number[] = [];
    const observer = (event: TrainEvent) => event.type === 'checkpoint' && saved.push(event.step);
    await runLoop({ ...options, run, checkpointMinutes, steps: 7, observer });
    run.close();
    expect(saved).toEqual(expected);
    model.dispose();
  });

  it('has checkpoints by the clock where nothing else was asked for', () => {
    expect(checkpointMinutes()).toBe(15);
    expect(checkpointMinutes({ every: 0, keep: 3 })).toBe(15);
    // Else those of steps would be fewer than are kept.
    expect(checkpointMinutes({ every: 100 })).toBe(0);
    expect(checkpointMinutes({ every: 100, minutes: 5 })).toBe(5);
    expect(checkpointMinutes({ minutes: 0 })).toBe(0);
  });

  /** A run of six steps, and what it told; `observe` may end it by throwing. */
  async function train(
    changes: Partial<LoopOptions<PreferenceResults>>,
    { path, observe }: { path?: string; observe?: (event: TrainEvent) => void } = {},
  ) {
    const opened = temporaryRun(path !== undefined, path);
    const { model, options } = setUp();
    const notes: string[] = [];
    const observer = (event: TrainEvent) => {
      if (event.type === 'note') notes.push(`${event.code}: ${event.message}`);
      observe?.(event);
    };
    const outcome = await runLoop({ ...options, ...changes, run: opened.run, observer }).catch(
      (error: unknown) => error,
    );
    opened.run.close();
    model.dispose();
    return { ...opened, outcome, notes };
  }

  const failAt = (step: number) => (event: TrainEvent) => {
    if (event.type === 'step' && event.step === step) throw new Error('killed');
  };

  it('goes on to the same bits from a checkpoint that the clock asked for', async () => {
    const whole = await train({});
    const checkpointMinutes = 1e-9;
    const { path } = await train({ checkpointMinutes }, { observe: failAt(4) });
    const { outcome } = await train({ checkpointMinutes }, { path });
    expect(outcome).toMatchObject({ status: 'finished', resumedFrom: 3 });
    expect(weights(path, 6).equals(weights(whole.path, 6))).toBe(true);
    expect(new RunReader(path).metrics()).toEqual(new RunReader(whole.path).metrics());
  });

  it.each([
    [1, 'its 1 step is trained again'],
    [3, 'its 3 steps are trained again'],
  ])('killed after step %d without a checkpoint, it says what is done again', async (step, words) => {
    const { path, notes: before } = await train({}, { observe: failAt(step) });
    const { notes, outcome } = await train({}, { path });
    expect(before).toEqual([]);
    expect(notes).toEqual([`no-checkpoint: No checkpoint was written before the run stopped: ${words}.`]);
    expect(outcome).toMatchObject({ status: 'finished', resumedFrom: 0 });
  });

  it('with nothing but damaged checkpoints, it removes none and says so', async () => {
    const { path } = await train({ checkpointEvery: 3 }, { observe: failAt(4) });
    const file = join(path, 'checkpoints', 'step-3', 'optimizer.safetensors');
    truncateSync(file, 10);
    const before = weights(path, 3);
    const { outcome, notes } = await train({}, { path });
    expect(outcome).toMatchObject({
      code: 'checkpoints-damaged',
      message: expect.stringContaining('step-3: optimizer.safetensors has 10 bytes instead of'),
    });
    expect(notes).toEqual([]);
    expect(weights(path, 3).equals(before)).toBe(true);
    expect(new RunReader(path).metrics()).toHaveLength(4);
  });

  it('names the checkpoint that is used in place of a damaged one', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'mallows-loop-')), 'run');
    const two = RunDirectory.open(path, { recipe: { name: 'test' }, provenance: {}, keepCheckpoints: 2 });
    const { model, options } = setUp();
    await runLoop({ ...options, run: two, checkpointEvery: 2 });
    two.close();
    model.dispose();
    rmSync(join(two.checkpoints.path(6), 'weights.safetensors'));
    const { outcome, notes } = await train({}, { path });
    expect(notes).toEqual([
      expect.stringMatching(/^checkpoint-damaged: .*step-6 is damaged \(.*\); that of step 4 is used\.$/),
    ]);
    expect(outcome).toMatchObject({ resumedFrom: 4 });
  });

  it.each([0, 4, 6])('stops within an evaluation, and goes on with it: after step %d', async (at) => {
    const values = async (step: number) => ({ loss: step, other: 2 * step });
    const whole = await train({ evaluation: { every: 2, evaluate: values } });
    const stop = new AbortController();
    const first = await train({
      signal: stop.signal,
      evaluation: {
        every: 2,
        evaluate: async (step, signal) => {
          if (step === at) stop.abort();
          signal?.throwIfAborted();
          return values(step);
        },
      },
    });
    expect(first.outcome).toMatchObject({ status: 'interrupted', step: at });
    expect(new RunReader(first.path).metrics().some(({ step }) => step === at)).toBe(false);
    const second = await train({ evaluation: { every: 2, evaluate: values } }, { path: first.path });
    expect(second.outcome).toMatchObject({ status: 'finished', step: 6, resumedFrom: at });
    expect(new RunReader(first.path).metrics()).toEqual(new RunReader(whole.path).metrics());
    expect(weights(first.path, 6).equals(weights(whole.path, 6))).toBe(true);
  });

  it('neither saves nor returns weights that the last update made infinite', async () => {
    const update = { learningRate: 1e39, schedule: { name: 'constant' } as const, steps: 1 };
    const { outcome, path } = await train(update);
    expect(outcome).toMatchObject({
      code: 'weights-not-finite',
      message: expect.stringMatching(/^After step 1 /),
      hint: expect.stringContaining('No checkpoint was written yet.'),
    });
    expect(readdirSync(join(path, 'checkpoints'))).toEqual([]);
    const { model, options } = setUp();
    await expect(runLoop({ ...options, ...update })).rejects.toMatchObject({ code: 'weights-not-finite' });
    model.dispose();
  });

  it('names the checkpoint that could not be written, and what it takes', async () => {
    const { run } = temporaryRun();
    const { model, options } = setUp();
    const observer = (event: TrainEvent) => {
      // Nothing can be written there any more.
      if (event.type === 'step') rmSync(run.checkpoints.directory, { recursive: true });
    };
    await expect(runLoop({ ...options, run, checkpointEvery: 1, observer })).rejects.toMatchObject({
      code: 'checkpoint-not-written',
      message: expect.stringMatching(/step-1, which takes \d.* KiB, could not be written: .*no such file/),
      cause: { code: 'ENOENT' },
    });
    run.close();
    model.dispose();
  });

  it('logs evaluations at the start, every so often and at the end', async () => {
    const { model, options } = setUp();
    const evaluation = { every: 2, evaluate: async (step: number) => ({ loss: step }) };
    const { metrics } = await runLoop({ ...options, steps: 5, evaluation });
    expect(metrics.map((m) => [m.step, m.eval_loss])).toEqual([
      [0, 0],
      [1, undefined],
      [2, 2],
      [3, undefined],
      [4, 4],
      [5, 5],
    ]);
    model.dispose();
  });

  it.each([
    ['the last', 6],
    ['one on the way', 4],
  ])('keeps its updates when an evaluation fails, and resumes with it: %s', async (_, failing) => {
    const evaluate = async (step: number) => ({ loss: step, other: 2 * step });
    const train = async (path?: string, evaluation = evaluate) => {
      const opened = temporaryRun(path !== undefined, path);
      const { model, options } = setUp();
      const running = runLoop({
        ...options,
        run: opened.run,
        evaluation: { every: 2, evaluate: evaluation },
      });
      const outcome = await running.catch((error: unknown) => error);
      opened.run.close();
      model.dispose();
      return { ...opened, outcome };
    };
    const whole = await train();
    const failed = await train(undefined, async (step) => {
      if (step === failing) throw new RangeError('no memory left');
      return evaluate(step);
    });
    expect(failed.outcome).toMatchObject({
      code: 'evaluation-failed',
      message: `The evaluation after step ${failing} failed: no memory left`,
      hint: expect.stringContaining('resumed'),
      cause: expect.any(RangeError),
    });
    expect(new RunReader(failed.path).metrics().at(-1)!.step).toBe(failing - 1);
    // Failing once more, it stays as it is.
    await train(failed.path, async () => Promise.reject(new Error('still')));
    expect(new RunReader(failed.path).metrics().at(-1)!.step).toBe(failing - 1);
    const resumed = await train(failed.path);
    expect(resumed.outcome).toMatchObject({ status: 'finished', step: 6, resumedFrom: failing });
    const again = await train(failed.path);
    expect(again.outcome).toMatchObject({ status: 'finished', metrics: [{ step: 6, eval_other: 12 }] });
    const metrics = (path: string) => readFileSync(join(path, 'metrics.jsonl'), 'utf8');
    expect(metrics(failed.path)).toBe(metrics(whole.path));
    expect(weights(failed.path, 6).equals(weights(whole.path, 6))).toBe(true);
  });

  it('does not finish with a held-out loss that is not a number', async () => {
    const { run, path } = temporaryRun();
    const { model, options } = setUp();
    const evaluation = {
      every: 0,
      evaluate: async (step: number) => ({ loss: step === 0 ? 0 : Number.NaN }),
    };
    await expect(runLoop({ ...options, run, evaluation })).rejects.toMatchObject({
      code: 'evaluation-not-finite',
      message: 'The evaluation after step 6 failed: The held-out loss is NaN.',
      hint: expect.stringMatching(/kept in .*step-6\.$/),
    });
    run.close();
    expect(new RunReader(path).metrics().at(-1)!.step).toBe(5);
    model.dispose();
  });

  it('lets a failed evaluation be what it is to those who catch it', async () => {
    const { run } = temporaryRun();
    const { model, options } = setUp();
    const changed = new UsageError('reference-changed', 'It changed.', { hint: 'Keep it.' });
    const evaluation = {
      every: 2,
      evaluate: async (step: number) => (step > 0 ? Promise.reject(changed) : { loss: 0 }),
    };
    const failing = runLoop({ ...options, run, evaluation });
    await expect(failing).rejects.toBeInstanceOf(UsageError);
    await expect(failing).rejects.toMatchObject({
      code: 'reference-changed',
      hint: expect.stringMatching(/^Keep it\. .*resumed/),
      cause: changed,
    });
    run.close();
    model.dispose();
  });

  it('stops at a loss that is not a number, names the rows and keeps the checkpoint', async () => {
    const { run, path } = temporaryRun();
    const { model, options } = setUp();
    const spoil = (event: TrainEvent) => {
      if (event.type !== 'step' || event.step !== 3) return;
      tidy(() =>
        noGrad(() => ops.copy_(model.finalNormParameters[0]!.value, tensor(new Array(16).fill(Number.NaN)))),
      );
    };
    const running = runLoop({ ...options, run, checkpointEvery: 2, batch: { pairs: 2 }, observer: spoil });
    await expect(running).rejects.toMatchObject({
      code: 'loss-not-finite',
      message: expect.stringMatching(/^Step 4 .* Rows: pair-\d, pair-\d\.$/),
      hint: expect.stringContaining('checkpoint of step 2'),
    });
    run.close();
    expect(new RunReader(path).metrics()).toHaveLength(3);
    model.dispose();
  });

  it('trains sequences: the loss is the mean over all scored tokens of the step', async () => {
    const losses: number[] = [];
    for (const batch of [{ pairs: 5 }, { pairs: 2, accumulate: 3 }]) {
      const { model, options } = setUp();
      const sequences = tinyPairs(5).map(({ id, prompt, chosen }) => ({
        id,
        prompt,
        completion: chosen,
        movedTokens: 0,
        cutTokens: 0,
      }));
      const scores = scoreRow(model, tinyPairs(5));
      const { task: _, rowPass: __, ...rest } = options;
      const task = new SftTask(sequences);
      const { metrics } = await runLoop({
        ...rest,
        task,
        rowPass: languageModelPass(model, task),
        batch,
        steps: 30,
        learningRate: 1e-2,
      });
      const sum = (read: (score: (typeof scores)[number]) => number) =>
        scores.reduce((s, x) => s + read(x), 0);
      expect(metrics[0]!.loss).toBeCloseTo(
        -sum(({ chosen }) => chosen.logp) / sum(({ chosen }) => chosen.tokens),
        5,
      );
      expect(metrics.at(-1)!.loss!).toBeLessThan(metrics[0]!.loss! / 2);
      losses.push(metrics.at(-1)!.loss!);
      model.dispose();
    }
    expect(losses[1]).toBeCloseTo(losses[0]!, 3);
  });
});
