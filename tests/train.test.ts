import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/index.ts';
import type { PreferencePair } from '../src/data/index.ts';
import { memory, setThreads } from '../src/engine/index.ts';
import { RunReader } from '../src/runs/index.ts';
import {
  type PreferenceOptions,
  scorePairs,
  type TrainEvent,
  trainPreference,
  trainSft,
} from '../src/train/index.ts';

setThreads(1);

const STORIES = fileURLToPath(new URL('fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));

const names = ['Lily', 'Tom', 'Sam', 'Mia', 'Ben', 'Anna', 'Max', 'Sue', 'Tim', 'Amy', 'Jack', 'Ella'];
/** Stories that should go on happily rather than sadly: a preference that a few steps can teach. */
const pairs: PreferencePair[] = names.map((name, index) => ({
  id: name,
  prompt: `Once upon a time, there was a little child named ${name}.`,
  chosen: ` ${name} was happy and had a big red ball.`,
  rejected: ` ${name} was sad and had lost the ball.`,
  votes: { chosen: 2 + (index % 2), rejected: index % 2 },
}));

const directory = () => mkdtempSync(join(tmpdir(), 'mallows-train-'));
const lines = (path: string) =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

const base = {
  model: STORIES,
  data: pairs,
  evalFraction: 0.25,
  learningRate: 3e-4,
  steps: 6,
  batch: { pairs: 3 },
  dtype: 'fp32',
} as const satisfies PreferenceOptions;

describe('trainPreference', () => {
  it('leaves a run directory with everything in it, and a model that loads', async () => {
    const output = join(directory(), 'run');
    const events: TrainEvent[] = [];
    const before = memory().liveTensors;
    const result = await trainPreference({
      ...base,
      output,
      referenceCache: directory(),
      evaluation: { every: 3, samples: 2, klSamples: 2, maxNewTokens: 8 },
      observer: (event) => events.push(event),
    });
    expect(result).toMatchObject({ status: 'finished', step: 6, totalSteps: 6, resumedFrom: 0 });
    expect(readdirSync(output).sort()).toEqual([
      'checkpoints',
      'dispersion.json',
      'dispersion.jsonl',
      'eval-dispersion.jsonl',
      'eval-reference.jsonl',
      'evaluations',
      'metrics.jsonl',
      'model',
      'provenance.json',
      'recipe.yaml',
      'reference.jsonl',
      'samples.jsonl',
      'timing.jsonl',
    ]);
    const metrics = new RunReader(output).metrics();
    expect(metrics.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    // At the start the policy is the reference.
    expect(metrics[0]!.eval_loss).toBeCloseTo(Math.LN2, 5);
    expect(metrics[0]!['eval_rewards/margins']).toBeCloseTo(0, 4);
    expect(metrics[0]!['eval_kl/on_policy']).toBeCloseTo(0, 6);
    expect(metrics.at(-1)!.eval_loss!).toBeLessThan(Math.LN2);
    expect(metrics.at(-1)!['eval_loss_change/high']!).toBeLessThan(0);
    expect(metrics.at(-1)!['eval_rewards/accuracies']).toBe(1);
    expect(metrics.at(-1)!['eval_kl/on_policy']!).toBeGreaterThan(0);
    expect(metrics[1]!['dispersion/mean']).toBeGreaterThan(0.5);

    const weights = lines(join(output, 'dispersion.jsonl')).map(({ negLogDispersion }) => negLogDispersion);
    expect(weights).toHaveLength(9);
    expect(weights.reduce((sum: number, w: number) => sum + w, 0) / 9).toBeCloseTo(1, 12);
    expect(lines(join(output, 'evaluations/step-6.jsonl'))).toHaveLength(3);
    for (const sample of lines(join(output, 'samples.jsonl'))) {
      expect(sample.before.length).toBeGreaterThan(0);
      expect(sample.after.length).toBeGreaterThan(0);
    }
    expect(new RunReader(output).provenance()).toMatchObject({
      seed: 0,
      data: { train: { rows: 12, badRows: 0 } },
    });
    expect(events.map(({ type }) => type)).toContain('evaluation');
    expect(events.filter((event) => event.type === 'phase').map(({ phase }) => phase)).toEqual([
      'load',
      'tokenize',
      'reference',
      'train',
      'save',
    ]);
    expect(events.find((event) => event.type === 'note' && event.code === 'memory')).toBeDefined();

    const saved = await loadModel(join(output, 'model'));
    for (const [name, { value }] of saved.model.parameters) {
      expect(value.toFloat64()).toEqual(result.model.model.parameters.get(name)!.value.toFloat64());
    }
    saved.model.dispose();
    result.model.model.dispose();
    expect(memory().liveTensors).toBe(before);
  });

  it('resumes to the bytes of an uninterrupted run', async () => {
    const root = directory();
    const evaluation = { every: 2, samples: 1, klSamples: 1, maxNewTokens: 4 };
    const options = { ...base, referenceCache: join(root, 'cache'), evaluation };
    const whole = await trainPreference({ ...options, output: join(root, 'whole') });
    whole.model.model.dispose();
    const stop = new AbortController();
    const stopped = await trainPreference({
      ...options,
      output: join(root, 'parts'),
      signal: stop.signal,
      observer: (event) => event.type === 'step' && event.step === 3 && stop.abort(),
    });
    expect(stopped.status).toBe('interrupted');
    expect(existsSync(join(root, 'parts/model'))).toBe(false);
    stopped.model.model.dispose();
    const again = trainPreference({ ...options, output: join(root, 'parts') });
    await expect(again).rejects.toMatchObject({ code: 'run-exists' });
    const resumed = await trainPreference({ ...options, output: join(root, 'parts'), resume: true });
    expect(resumed).toMatchObject({ status: 'finished', resumedFrom: 3 });
    resumed.model.model.dispose();
    for (const file of [
      'metrics.jsonl',
      'samples.jsonl',
      'model/model.safetensors',
      'evaluations/step-6.jsonl',
    ]) {
      const expected = readFileSync(join(root, 'whole', file));
      expect(readFileSync(join(root, 'parts', file)).equals(expected), file).toBe(true);
    }
  });

  it('resumed when it is finished, writes the same model with the same card', async () => {
    const options = { ...base, output: join(directory(), 'run'), referenceCache: false } as const;
    const first = await trainPreference(options);
    first.model.model.dispose();
    const files = ['README.md', 'model.safetensors'].map((name) => join(options.output, 'model', name));
    const written = files.map((file) => readFileSync(file));
    for (const line of ['rewards/accuracies', 'beta | 0.1', 'dispersion source | entropy', 'φ* | ']) {
      expect(written[0]!.toString()).toContain(`| ${line}`);
    }
    const again = await trainPreference({ ...options, resume: true });
    expect(again).toMatchObject({ status: 'finished', resumedFrom: 6 });
    expect(again.metrics).toEqual(first.metrics.slice(-1));
    again.model.model.dispose();
    for (const [index, file] of files.entries()) {
      expect(readFileSync(file).equals(written[index]!), file).toBe(true);
    }
  });

  it('does not resume on other data, in another precision or from another model', async () => {
    const root = directory();
    const [data, evalData, output] = ['pairs.jsonl', 'held-out.jsonl', 'run'].map((name) => join(root, name));
    const write = (path: string, rows: readonly PreferencePair[]) =>
      writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const [train, heldOut] = [pairs.slice(0, 8), pairs.slice(8)];
    write(data!, train);
    write(evalData!, heldOut);
    // As the command line does it: the recipe names the files, and does not say what is in them.
    const recipe = { model: 'base', data, evalData };
    const options: PreferenceOptions = {
      ...base,
      data: data!,
      evalData: evalData!,
      output: output!,
      recipe,
      referenceCache: false,
    };
    const stop = new AbortController();
    const stopped = await trainPreference({
      ...options,
      signal: stop.signal,
      observer: (event) => event.type === 'step' && stop.abort(),
    });
    expect(stopped.status).toBe('interrupted');

    const resume = (more: object = {}) => trainPreference({ ...options, ...more, resume: true });
    const refused = (what: RegExp) => ({ code: 'run-differs', message: expect.stringMatching(what) });
    write(data!, [{ ...train[0]!, chosen: ' It was very happy.' }, ...train.slice(1)]);
    await expect(resume()).rejects.toMatchObject(
      refused(/SHA-256 of the training data: \w+ there, \w+ now\.$/),
    );
    write(data!, train);
    write(evalData!, [...heldOut, { ...heldOut[0]!, id: 'one more' }]);
    await expect(resume()).rejects.toMatchObject(refused(/usable held-out rows: 4 there, 5 now/));
    write(evalData!, heldOut);
    await expect(resume({ dtype: 'bf16' })).rejects.toMatchObject(
      refused(/precision: float32 there, bfloat16 now/),
    );
    await expect(resume({ model: stopped.model })).rejects.toMatchObject(refused(/SHA-256 of the model/));
    stopped.model.model.dispose();

    const resumed = await resume();
    expect(resumed).toMatchObject({ status: 'finished', resumedFrom: 1 });
    resumed.model.model.dispose();
  });

  it.each([false, true])(
    'trains LoRA adapters (merged: %s), whose reference is the base model',
    async (merge) => {
      const output = join(directory(), 'run');
      const result = await trainPreference({
        ...base,
        output,
        referenceCache: false,
        learningRate: 3e-3,
        steps: 20,
        evaluation: { klSamples: 2, maxNewTokens: 6 },
        lora: { rank: 4, targetModules: ['q_proj', 'v_proj', 'down_proj'], merge },
      });
      const [first, last] = [result.metrics[0]!, result.metrics.at(-1)!];
      expect(first.eval_loss).toBeCloseTo(Math.LN2, 5);
      expect(first['eval_kl/on_policy']).toBe(0);
      expect(last.eval_loss!).toBeLessThan(0.66);
      expect(last['eval_kl/on_policy']!).toBeGreaterThan(0);
      expect(existsSync(join(output, merge ? 'adapter' : 'model', 'adapter_model.safetensors'))).toBe(true);
      const saved = await loadModel(join(output, 'model'));
      const tokens = Int32Array.from([1, 5, 9, 30]);
      const pair = {
        id: 'x',
        prompt: tokens,
        chosen: tokens,
        rejected: tokens,
        movedTokens: 0,
        cutTokens: 0,
      };
      const [theirs] = await scorePairs(saved.model, [pair]);
      const [ours] = await scorePairs(result.model.model, [pair]);
      expect(theirs!.chosen.logp).toBeCloseTo(ours!.chosen.logp, 4);
      saved.model.dispose();
      result.model.model.dispose();
    },
  );

  it('weights pairs by votes and leaves contested ones out with a note', async () => {
    const contested = [...pairs, { ...pairs[0]!, id: 'split', votes: { chosen: 1, rejected: 1 } }];
    const notes: string[] = [];
    const result = await trainPreference({
      ...base,
      data: contested,
      evalFraction: 0,
      steps: 1,
      referenceCache: false,
      dispersion: { source: 'votes' },
      observer: (event) => event.type === 'note' && notes.push(event.message),
    });
    expect(notes.some((note) => note.startsWith('1 contested training pair (split) is left out'))).toBe(true);
    result.model.model.dispose();
  });

  it('computes in bf16 with fp32 masters and saves bf16', async () => {
    const output = join(directory(), 'run');
    const result = await trainPreference({
      ...base,
      output,
      dtype: 'bf16',
      referenceCache: false,
      steps: 10,
    });
    expect(result.metrics.at(-1)!.eval_loss!).toBeLessThan(0.69);
    const saved = await loadModel(join(output, 'model'));
    expect(JSON.parse(readFileSync(join(output, 'model/config.json'), 'utf8'))).toMatchObject({
      torch_dtype: 'bfloat16',
    });
    saved.model.dispose();
    result.model.model.dispose();
  });

  it('needs no reference for SimPO', async () => {
    const phases: string[] = [];
    const result = await trainPreference({
      ...base,
      objective: 'simpo',
      steps: 1,
      evalFraction: 0,
      observer: (event) => event.type === 'phase' && phases.push(event.phase),
    });
    expect(phases).not.toContain('reference');
    expect(result.metrics[0]!['log_ratio/chosen']).toBeUndefined();
    result.model.model.dispose();
  });
});

describe('trainSft', () => {
  it('learns completions and leaves a run directory', async () => {
    const output = join(directory(), 'run');
    const result = await trainSft({
      model: STORIES,
      data: pairs.map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen })),
      evalFraction: 0.25,
      learningRate: 1e-3,
      steps: 10,
      batch: { pairs: 3 },
      dtype: 'fp32',
      output,
      evaluation: { samples: 1, maxNewTokens: 6 },
    });
    expect(result.metrics.at(-1)!.eval_loss!).toBeLessThan(result.metrics[0]!.eval_loss! - 0.3);
    expect(result.samples[0]!.after).not.toBe(result.samples[0]!.before);
    expect(existsSync(join(output, 'model/model.safetensors'))).toBe(true);
    result.model.model.dispose();
  });

  it('resumed when it is finished, keeps the results on its card', async () => {
    const options = {
      model: STORIES,
      data: pairs.map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen })),
      evalFraction: 0.25,
      steps: 2,
      batch: { pairs: 3 },
      dtype: 'fp32',
      output: join(directory(), 'run'),
    } as const;
    (await trainSft(options)).model.model.dispose();
    const card = readFileSync(join(options.output, 'model/README.md'), 'utf8');
    expect(card).toContain('| loss |');
    (await trainSft({ ...options, resume: true })).model.model.dispose();
    expect(readFileSync(join(options.output, 'model/README.md'), 'utf8')).toBe(card);
  });
});
