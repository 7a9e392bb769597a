import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { setThreads } from '../engine/index.ts';
import { trainPreference } from './preference.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

it.each([
  ['loaded anew', {}],
  ['the policy without its adapters', { lora: { rank: 2 } }],
])('lends the reference for as long as an asynchronous caller needs it: %s', async (_, training) => {
  const seen: { disposed: boolean; adapters: number }[] = [];
  const { model } = await trainPreference({
    model: STORIES,
    data: ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
      id: name,
      prompt: `Once there was a child named ${name}.`,
      chosen: ' It was happy.',
      rejected: ' It was sad.',
    })),
    evalFraction: 0.5,
    objective: 'dpo',
    steps: 1,
    batch: { pairs: 2 },
    dtype: 'fp32',
    referenceCache: false,
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
