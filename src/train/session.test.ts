import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { STORIES, STORY_PAIRS } from '../../tests/support/stories.ts';
import { type LoadedModel, loadModel } from '../checkpoints/index.ts';
import { memory, setThreads } from '../engine/index.ts';
import { generate } from '../generate/index.ts';
import type { TrainEvent } from './contract.ts';
import { trainPreference } from './preference.ts';

setThreads(1);

/** One update of DPO. */
const SHORT = {
  data: STORY_PAIRS,
  evalFraction: 0.5,
  objective: 'dpo',
  steps: 1,
  batch: { pairs: 2 },
  dtype: 'fp32',
  referenceCache: false,
} as const;

it.each([
  ['loaded anew', {}],
  ['the policy without its adapters', { lora: { rank: 2 } }],
])('lends the reference for as long as an asynchronous caller needs it: %s', async (_, training) => {
  const seen: { disposed: boolean; adapters: number }[] = [];
  const { model } = await trainPreference({
    ...SHORT,
    model: STORIES,
    probe: async ({ withReference }) => {
      const tokens = await withReference(async (reference) => {
        await new Promise(setImmediate);
        const linears = reference.layers.flatMap((layer) => [...layer.linears.values()]);
        seen.push({
          disposed: reference.head.weight.value.isDisposed,
          adapters: linears.filter(({ adapter }) => adapter !== undefined).length,
        });
        return reference.config.vocabularySize;
      });
      return { tokens };
    },
    ...training,
  });
  expect(seen).toEqual([
    { disposed: false, adapters: 0 },
    { disposed: false, adapters: 0 },
  ]);
  const linears = model.model.layers.flatMap((layer) => [...layer.linears.values()]);
  const adapted = linears.filter(({ adapter }) => adapter !== undefined).length;
  expect(adapted).toBe('lora' in training ? linears.length : 0);
  model.model.dispose();
});

it('lends the commit that training began with, whatever its name stands for by now', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'mallows-session-'));
  const repository = join(cache, 'models--owner--stories');
  const commit = 'a'.repeat(40);
  const main = join(repository, 'refs', 'main');
  for (const folder of ['refs', `snapshots/${commit}`])
    mkdirSync(join(repository, folder), { recursive: true });
  copyFileSync(STORIES, join(repository, 'snapshots', commit, 'stories.gguf'));
  writeFileSync(main, commit);
  const hub = createServer((_, response) => response.writeHead(401).end()).listen(0, '127.0.0.1');
  vi.stubEnv('HF_HUB_CACHE', cache);
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  try {
    const { model, metrics } = await trainPreference({
      ...SHORT,
      model: 'hf:owner/stories',
      evaluation: { klSamples: 1, maxNewTokens: 4 },
      probe: async () => {
        writeFileSync(main, 'b'.repeat(40));
        vi.stubEnv('HF_HUB_OFFLINE', '0');
        vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(hub.address() as AddressInfo).port}`);
        return {};
      },
    });
    expect(metrics.at(-1)!['eval_kl/on_policy']).toBeGreaterThanOrEqual(0);
    model.model.dispose();
  } finally {
    vi.unstubAllEnvs();
    hub.close();
  }
});

it('saves an adapter that finds its base from any working directory', async () => {
  const output = mkdtempSync(join(tmpdir(), 'mallows-session-'));
  const { model } = await trainPreference({
    model: relative(process.cwd(), STORIES),
    ...SHORT,
    lora: { rank: 2 },
    output,
  });
  model.model.dispose();
  const saved = join(output, 'model');
  const config = JSON.parse(readFileSync(join(saved, 'adapter_config.json'), 'utf8'));
  expect(config).toMatchObject({ base_model_name_or_path: STORIES, revision: null });
  const home = process.cwd();
  process.chdir(output);
  try {
    const loaded = await loadModel('model');
    expect(loaded.tokenizer.hash).toBe(model.tokenizer.hash);
    loaded.model.dispose();
  } finally {
    process.chdir(home);
  }
});

it('says on its card what it was trained with, defaults included', async () => {
  const output = mkdtempSync(join(tmpdir(), 'mallows-session-'));
  const { model } = await trainPreference({
    model: STORIES,
    ...SHORT,
    objective: { name: 'mallows-theta', beta: 0.2 },
    dispersion: { shuffle: true },
    output,
  });
  model.model.dispose();
  const card = readFileSync(join(output, 'model', 'README.md'), 'utf8');
  const settings = new Map(
    [...card.matchAll(/^\| (.+) \| (.+) \|$/gm)].map(([, name, value]) => [name, value]),
  );
  expect(Object.fromEntries(settings)).toMatchObject({
    beta: '0.2',
    'dispersion source': 'entropy, shuffled',
    'φ*': expect.stringMatching(/^\d+\.\d+$/),
    'learning rate': '0.000001',
    steps: '1',
  });
});

it('says so when there is no run to resume, and begins one', async () => {
  const output = join(mkdtempSync(join(tmpdir(), 'mallows-session-')), 'run');
  const warnings: string[] = [];
  const train = async () => {
    const observer = (event: TrainEvent) => {
      if (event.type === 'note' && event.level === 'warning') warnings.push(event.code);
    };
    const { model, status } = await trainPreference({
      model: STORIES,
      ...SHORT,
      output,
      resume: true,
      observer,
    });
    model.model.dispose();
    expect(status).toBe('finished');
  };
  await train();
  expect(warnings).toEqual(['nothing-to-resume']);
  await train();
  expect(warnings).toHaveLength(1);
});

it.each([
  ['data that are not there', { data: 'nowhere.jsonl' }, 'missing-file'],
  ['LoRA targets that the model lacks', { lora: { targetModules: ['nope'] } }, 'unknown-lora-target'],
  ['a rate that is far too high', { learningRate: 1e30, steps: 3 }, /not-finite$/],
  [
    'a rate that is far too high, with LoRA',
    { learningRate: 1e30, steps: 3, lora: { rank: 2 } },
    /not-finite$/,
  ],
])('frees all that it made when it fails: %s', async (_, training, code) => {
  const before = memory().liveTensors;
  const failing = trainPreference({ ...SHORT, model: STORIES, ...training });
  await expect(failing).rejects.toMatchObject({ code: expect.stringMatching(code) });
  expect(memory().liveTensors).toBe(before);
});

it('takes its adapters off a model that was given, when it fails', async () => {
  const model = await loadModel(STORIES);
  const before = memory().liveTensors;
  const training = { ...SHORT, model, lora: { rank: 2 }, steps: 3 };
  await expect(trainPreference({ ...training, learningRate: 1e30 })).rejects.toThrowError(/not a finite/);
  expect(memory().liveTensors).toBe(before);
  expect((await trainPreference({ ...training, learningRate: 1e-4 })).status).toBe('finished');
  model.model.dispose();
});

it('refuses another device than that of a model in memory', async () => {
  const model = await loadModel(STORIES);
  const training = trainPreference({ ...SHORT, model, device: 'cuda:7' });
  await expect(training).rejects.toMatchObject({ code: 'device-differs' });
  expect((await trainPreference({ ...SHORT, model, device: 'cpu' })).status).toBe('finished');
  model.model.dispose();
});

it('refuses to read or train a model that someone else trains, and lets the training read it', async () => {
  const model = await loadModel(STORIES, { dtype: 'float32' });
  const prompts = [model.tokenizer.encode('Once')];
  const asked = { maxNewTokens: 4 };
  let begun = () => {};
  const running = new Promise<void>((resolve) => {
    begun = resolve;
  });
  let goOn = () => {};
  const asking = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const trained = trainPreference({
    ...SHORT,
    model,
    probe: async ({ loaded }) => {
      const answers = await generate(loaded.model, prompts, asked);
      begun();
      await asking;
      return { tokens: answers[0]![0]!.tokens.length };
    },
  });
  await running;
  const refused = expect.objectContaining({ code: 'model-in-use' });
  await expect(generate(model.model, prompts, asked)).rejects.toEqual(refused);
  await expect(trainPreference({ ...SHORT, model })).rejects.toEqual(refused);
  goOn();
  expect((await trained).metrics[0]!.eval_tokens).toBeGreaterThan(0);

  const answering = generate(model.model, prompts, { maxNewTokens: 8 });
  await expect(trainPreference({ ...SHORT, model })).rejects.toEqual(refused);
  expect((await answering)[0]).toHaveLength(1);
  await trainPreference({ ...SHORT, model });
  model.model.dispose();
});

describe('a model that is trained', () => {
  const refused = expect.objectContaining({ code: 'model-in-use' });

  it.each([
    ['full', {}],
    ['LoRA', { lora: { rank: 2 } }],
  ])('is not read by what an observer begins: %s', async (_, training) => {
    const model = await loadModel(STORIES, { dtype: 'float32' });
    const prompts = [model.tokenizer.encode('Once')];
    const answers: Promise<unknown>[] = [];
    const observer = () => {
      answers.push(generate(model.model, prompts, { maxNewTokens: 8 }).catch((error: unknown) => error));
    };
    const { status } = await trainPreference({ ...SHORT, ...training, steps: 3, model, observer });
    expect(status).toBe('finished');
    for (const answer of await Promise.all(answers)) expect(answer).toEqual(refused);
    expect(answers.length).toBeGreaterThan(3);
    model.dispose();
  });

  it('is not read by others where it was given by name', async () => {
    let lent: LoadedModel | undefined;
    const answers: Promise<unknown>[] = [];
    const { model } = await trainPreference({
      ...SHORT,
      model: STORIES,
      steps: 2,
      probe: async ({ loaded }) => {
        lent = loaded;
        return {};
      },
      observer: ({ type }) => {
        if (type !== 'step') return;
        const prompts = [lent!.tokenizer.encode('Once')];
        answers.push(generate(lent!.model, prompts, { maxNewTokens: 8 }).catch((error: unknown) => error));
      },
    });
    expect(await Promise.all(answers)).toEqual([refused, refused]);
    model.dispose();
  });

  it('does not change under what a probe began and did not await', async () => {
    const model = await loadModel(STORIES, { dtype: 'float32' });
    let answering: Promise<unknown> | undefined;
    const training = trainPreference({
      ...SHORT,
      model,
      probe: async ({ loaded }) => {
        answering ??= generate(loaded.model, [loaded.tokenizer.encode('Once')], { maxNewTokens: 50 });
        return {};
      },
    });
    await expect(training).rejects.toEqual(refused);
    await expect(answering).resolves.toHaveLength(1);
    model.dispose();
  });
});
