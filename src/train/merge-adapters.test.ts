import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type LoadedModel, loadModel, openModel, saveModel } from '../checkpoints/index.ts';
import { ops, setThreads, tidy } from '../engine/index.ts';
import { generate } from '../generate/index.ts';
import { mergeAdapters } from './merge-adapters.ts';
import { trainSft } from './sft.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const directory = mkdtempSync(join(tmpdir(), 'mallows-merge-'));
const at = (name: string): string => join(directory, name);
const data = ['red', 'blue'].map((color, id) => ({
  id: `${id}`,
  prompt: 'The ball is',
  completion: ` ${color}.`,
}));
const lora = {
  data,
  evalFraction: 0,
  steps: 1,
  learningRate: 1e-2,
  dtype: 'float32',
  lora: { rank: 2 },
} as const;

let tuned: LoadedModel;

beforeAll(async () => {
  ({ model: tuned } = await trainSft({ ...lora, model: STORIES }));
});

afterAll(() => {
  tuned.dispose();
  rmSync(directory, { recursive: true });
});

const query = 'model.layers.0.self_attn.q_proj.weight';

it('refuses a model that is read or trained', async () => {
  const refused = expect.objectContaining({ code: 'model-in-use' });
  const answering = generate(tuned.model, [tuned.tokenizer.encode('The')], { maxNewTokens: 8 });
  expect(() => mergeAdapters(tuned)).toThrow(refused);
  await answering;

  const loaded = await loadModel(STORIES);
  const tried: unknown[] = [];
  const saving: Promise<unknown>[] = [];
  const { metrics } = await trainSft({
    ...lora,
    model: loaded,
    steps: 2,
    observer: ({ type }) => {
      if (type !== 'step') return;
      try {
        mergeAdapters(loaded);
      } catch (error) {
        tried.push(error);
      }
      saving.push(saveModel(loaded, at('meanwhile')).catch((error: unknown) => error));
    },
  });
  expect(metrics.at(-1)).toMatchObject({ step: 2 });
  expect(tried).toEqual([refused, refused]);
  expect(await Promise.all(saving)).toEqual([refused, refused]);
  mergeAdapters(loaded);
  const saved = saveModel(loaded, at('merged'));
  await expect(trainSft({ ...lora, model: loaded })).rejects.toEqual(refused);
  await saved;
  loaded.dispose();
});

it('merges adapters in place, after which the model can be saved whole', async () => {
  await expect(saveModel(tuned, at('early'))).rejects.toMatchObject({
    code: 'adapter-attached',
    hint: expect.stringContaining('mergeAdapters'),
  });
  expect(existsSync(at('early'))).toBe(false);
  mergeAdapters(tuned);
  mergeAdapters(tuned);
  await saveModel(tuned, at('whole'));
  const base = await openModel(STORIES);
  const again = await loadModel(at('whole'));
  const merged = tuned.model.parameters.get(query)!.value;
  expect(tidy(() => ops.equal(again.model.parameters.get(query)!.value, merged))).toBe(true);
  expect(tidy(() => ops.equal(base.weights.get(query), merged))).toBe(false);
  base.weights.close();
  again.dispose();
});

it('says that no file holds the merged weights, so that no adapter names its base wrongly', async () => {
  await saveModel(tuned, at('base'));
  const { model } = await trainSft({ ...lora, model: at('base'), output: at('adapter-run') });
  model.dispose();
  const loaded = await loadModel(join(at('adapter-run'), 'model'));
  mergeAdapters(loaded);
  await expect(trainSft({ ...lora, model: loaded, output: at('again') })).rejects.toMatchObject({
    code: 'base-not-saved',
  });
  loaded.dispose();
});

it('saves in the type that is asked for, and replaces only when told to', async () => {
  await saveModel(tuned, at('half'), { type: 'bf16' });
  expect(JSON.parse(readFileSync(join(at('half'), 'config.json'), 'utf8'))).toMatchObject({
    torch_dtype: 'bfloat16',
  });
  expect(tuned.model.parameters.get(query)!.value.dtype).toBe('float32');
  await expect(saveModel(tuned, at('half'))).rejects.toMatchObject({ code: 'export-exists' });
  await expect(saveModel(tuned, at('q8'), { type: 'q8_0' })).rejects.toMatchObject({ code: 'export-dtype' });
  writeFileSync(join(at('half'), 'README.md'), 'Mine.\n');
  await saveModel(tuned, at('half'), { overwrite: true });
  expect(readFileSync(join(at('half'), 'README.md'), 'utf8')).toBe('Mine.\n');
  await saveModel(tuned, at('tuned.gguf'), { type: 'q8_0' });
  expect(readFileSync(at('tuned.gguf')).subarray(0, 4).toString()).toBe('GGUF');
  expect(readdirSync(directory).sort()).toContain('tuned.gguf');
});
