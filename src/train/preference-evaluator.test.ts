import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { promptKey } from '../data/index.ts';
import { setThreads } from '../engine/index.ts';
import { readJsonLines } from '../runs/index.ts';
import { trainPreference } from './preference.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

it('names the prompts of its KL as those of its pairs', async () => {
  const output = mkdtempSync(join(tmpdir(), 'mallows-evaluator-'));
  // Two pairs of a prompt, of which the KL takes the first.
  const data = ['Tom', 'Tom', 'Mia'].map((name, i) => ({
    id: `${i}`,
    prompt: `There was a child named ${name}.`,
    chosen: ' It was happy.',
    rejected: ` It was sad ${i} times.`,
  }));
  const { model } = await trainPreference({
    model: STORIES,
    objective: 'dpo',
    data,
    evalData: data,
    output,
    steps: 1,
    dtype: 'fp32',
    device: 'cpu',
    referenceCache: false,
    evaluation: { klSamples: 2, maxNewTokens: 4 },
  });
  model.model.dispose();
  const { records } = readJsonLines(join(output, 'evaluations/step-1.kl.jsonl'));
  expect(records).toEqual(
    [data[0]!, data[2]!].map(({ id, prompt }) => ({ id, prompt: promptKey(prompt), kl: expect.any(Number) })),
  );
  rmSync(output, { recursive: true });
});
