import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { loadModel } from '../checkpoints/index.ts';
import { setThreads } from '../engine/index.ts';
import { trainPreference } from './preference.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

const PAIRS = ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
  id: name,
  prompt: `Once there was a child named ${name}.`,
  chosen: ' It was happy.',
  rejected: ' It was sad.',
}));

/** One update of DPO. */
const SHORT = {
  data: PAIRS,
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
