import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type LoadedModel, loadModel, openModel } from '../checkpoints/index.ts';
import { setThreads } from '../engine/index.ts';
import { RunReader } from '../runs/index.ts';
import { type PreferenceOptions, trainPreference } from './preference.ts';
import { type SftOptions, trainSft } from './sft.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const directory = () => mkdtempSync(join(tmpdir(), 'mallows-identity-'));
const hashOf = async (spec: string) => {
  const { source, weights } = await openModel(spec);
  weights.close();
  return source.hash;
};

const pairs = ['Lily', 'Tom', 'Sam', 'Mia', 'Ben', 'Anna'].map((name) => ({
  id: name,
  prompt: `Once upon a time, there was a little child named ${name}.`,
  chosen: ` ${name} was happy and had a big red ball.`,
  rejected: ` ${name} was sad and had lost the ball.`,
}));

/** SFT that moves the model far enough for its scores to differ from its base's. */
const sft = (options: Partial<SftOptions> = {}) =>
  trainSft({
    model: STORIES,
    data: pairs.map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen })),
    evalFraction: 0,
    learningRate: 1e-3,
    steps: 3,
    batch: { pairs: 3 },
    dtype: 'fp32',
    ...options,
  });

const tune = (options: Partial<PreferenceOptions> & Pick<PreferenceOptions, 'model'>) =>
  trainPreference({
    data: pairs,
    evalFraction: 0.34,
    objective: 'dpo',
    learningRate: 1e-3,
    steps: 1,
    batch: { pairs: 2 },
    dtype: 'fp32',
    referenceCache: false,
    ...options,
  });

/** Tunes, frees the model, and returns the held-out numbers before the first update. */
async function start(options: Parameters<typeof tune>[0]) {
  const { metrics, model } = await tune(options);
  model.model.dispose();
  return metrics[0]!;
}

const dispose = ({ model }: LoadedModel) => model.dispose();

describe('a model trained in memory and not saved', () => {
  it('says that no file holds it, and does not pass for its base', async () => {
    const [first, second] = [await sft(), await sft()];
    const base = await openModel(STORIES);
    base.weights.close();
    const { source } = first.model;
    expect(source).toMatchObject({ weights: [], baseModel: base.source.baseModel });
    expect(source.hash).not.toBe(base.source.hash);
    expect(source.spec).not.toBe(base.source.spec);
    expect(source.location).not.toBe(base.source.location);
    // Equal hashes mean equal weights, as they do for files.
    expect(second.model.source.hash).toBe(source.hash);
    const further = await sft({ model: first.model });
    expect(further.model.source.hash).not.toBe(source.hash);
    expect(further.model.source.spec).toBe(source.spec);
    for (const model of [first.model, second.model]) dispose(model);
  });

  it('neither reads its base’s reference scores nor leaves its own in their place', async () => {
    const referenceCache = directory();
    const scored = await start({ model: STORIES, referenceCache });
    const kept = readdirSync(referenceCache);
    expect(kept).toHaveLength(2);
    const { model } = await sft();
    const metrics = await start({ model, referenceCache });
    // A policy starts at its reference. Against its base's scores it would not.
    expect(metrics.eval_loss).toBeCloseTo(Math.LN2, 6);
    expect(metrics['eval_logps/chosen']).not.toBeCloseTo(scored['eval_logps/chosen']!, 1);
    expect(readdirSync(referenceCache)).toEqual(kept);

    const empty = directory();
    const { model: again } = await sft();
    await start({ model: again, referenceCache: empty });
    expect(readdirSync(empty)).toEqual([]);
  });

  it('is known by its weights, not by the handle that loaded them', async () => {
    const referenceCache = directory();
    const loaded = await loadModel(STORIES);
    const trained = await sft({ model: loaded });
    expect(loaded.source.hash).toBe(await hashOf(STORIES));
    const metrics = await start({ model: loaded, referenceCache });
    expect(metrics.eval_loss).toBeCloseTo(Math.LN2, 6);
    expect(readdirSync(referenceCache)).toEqual([]);
    expect(trained.model.model).toBe(loaded.model);
  });

  it('stays so when training breaks off', async () => {
    const loaded = await loadModel(STORIES);
    const breaking = sft({
      model: loaded,
      observer: (event) => {
        if (event.type === 'step' && event.step === 2) throw new Error('enough');
      },
    });
    await expect(breaking).rejects.toThrow('enough');
    const referenceCache = directory();
    await start({ model: loaded, referenceCache });
    expect(readdirSync(referenceCache)).toEqual([]);
  });

  it('has no KL to a reference that would have to be loaded, and says so before a run is begun', async () => {
    const { model } = await sft();
    const output = join(directory(), 'run');
    const evaluation = { klSamples: 1, maxNewTokens: 4 };
    await expect(tune({ model, output, evaluation })).rejects.toMatchObject({
      code: 'reference-not-saved',
      hint: expect.stringContaining('output'),
    });
    expect(existsSync(output)).toBe(false);
    const probing = tune({
      model,
      probe: async ({ withReference }) => withReference(() => ({})),
    });
    await expect(probing).rejects.toMatchObject({ code: 'reference-not-saved' });
    dispose(model);
  });

  it('is its own reference under adapters, which it cannot be saved with', async () => {
    const { model } = await sft();
    const output = join(directory(), 'run');
    const lora = { rank: 2 };
    await expect(tune({ model, output, lora })).rejects.toMatchObject({
      code: 'base-not-saved',
      message: expect.stringContaining(model.source.spec),
    });
    expect(existsSync(output)).toBe(false);
    const metrics = await start({ model, lora, evaluation: { klSamples: 1, maxNewTokens: 4 } });
    expect(metrics['eval_kl/on_policy']).toBe(0);
  });

  it('resumes a run that began with the same weights, and no other', async () => {
    const output = join(directory(), 'run');
    const stop = new AbortController();
    const interrupted = await tune({
      model: (await sft()).model,
      output,
      steps: 4,
      signal: stop.signal,
      observer: (event) => event.type === 'step' && stop.abort(),
    });
    expect(interrupted.status).toBe('interrupted');
    dispose(interrupted.model);
    const { model: other } = await sft({ steps: 4 });
    await expect(tune({ model: other, output, steps: 4, resume: true })).rejects.toMatchObject({
      code: 'run-differs',
      message: expect.stringContaining(other.source.hash),
    });
    dispose(other);
    const { model: same } = await sft();
    const resumed = await tune({ model: same, output, steps: 4, resume: true });
    expect(resumed).toMatchObject({ status: 'finished', resumedFrom: 1 });
    dispose(resumed.model);
  });
});

describe('a model trained and saved', () => {
  it('is what loading it gives: for the cache, the KL and the base of an adapter', async () => {
    const saved = join(directory(), 'sft');
    const referenceCache = directory();
    const trained = await sft({ output: saved });
    const { source } = trained.model;
    expect(source).toMatchObject({ spec: join(saved, 'model'), location: join(saved, 'model') });
    expect(source.hash).toBe(await hashOf(join(saved, 'model')));
    expect(source.hash).not.toBe(await hashOf(STORIES));

    await start({ model: join(saved, 'model'), referenceCache });
    const kept = readdirSync(referenceCache);
    const output = join(directory(), 'adapter');
    const adapted = await tune({ model: trained.model, output, lora: { rank: 2 }, referenceCache });
    expect(adapted.metrics[0]!.eval_loss).toBeCloseTo(Math.LN2, 6);
    expect(readdirSync(referenceCache)).toEqual(kept);
    expect(new RunReader(output).provenance()).toMatchObject({ model: { hash: source.hash } });
    const config = JSON.parse(readFileSync(join(output, 'model/adapter_config.json'), 'utf8'));
    expect(config.base_model_name_or_path).toBe(join(saved, 'model'));
    // Base and adapters in memory are not a model that a file holds.
    expect(adapted.model.source.weights).toEqual([]);
    dispose(adapted.model);
  });

  it('has its KL measured against what was saved', async () => {
    const { model } = await sft({ output: join(directory(), 'sft') });
    const metrics = await start({ model, evaluation: { klSamples: 2, maxNewTokens: 4 } });
    expect(metrics['eval_kl/on_policy']).toBeCloseTo(0, 9);
  });

  it('is the merged model when adapters were merged', async () => {
    const output = join(directory(), 'run');
    const { model } = await tune({ model: STORIES, output, lora: { rank: 2, merge: true } });
    expect(model.source.hash).toBe(await hashOf(join(output, 'model')));
    expect((await start({ model })).eval_loss).toBeCloseTo(Math.LN2, 6);
  });
});

describe('a model that was given in bf16 and computes in fp32', () => {
  it('trains in fp32, from its own scores and beside its own reference', async () => {
    const referenceCache = directory();
    await start({ model: STORIES, referenceCache });
    const given = await loadModel(STORIES, { dtype: 'bfloat16' });
    const { metrics, model } = await tune({
      model: given,
      referenceCache,
      evaluation: { klSamples: 2, maxNewTokens: 4 },
    });
    expect(metrics[0]!.eval_loss).toBeCloseTo(Math.LN2, 6);
    expect(metrics[0]!['eval_kl/on_policy']).toBeCloseTo(0, 9);
    expect(readdirSync(referenceCache)).toHaveLength(4);
    expect(model.model.dtype).toBe('float32');
    const dtypes = [...model.model.parameters.values()].map(({ value }) => value.dtype);
    expect(new Set(dtypes)).toEqual(new Set(['float32']));
    dispose(model);
  });
});
