import { afterAll, beforeAll, expect, test } from 'vitest';
import { memory, setThreads, threads } from '../../src/engine/index.ts';
import { generate } from '../../src/generate/index.ts';
import type { CausalLM } from '../../src/models/index.ts';
import { createModel } from '../../src/models/index.ts';
import { MODELS, readCheckpoint } from './checkpoint.ts';

let model: CausalLM;
const before = threads();
beforeAll(() => {
  setThreads(1); // more cost time at this size
  const { config, weights } = readCheckpoint(`${MODELS}stories260K`);
  model = createModel(config, weights, { dtype: 'float32', device: 'cpu' });
});
afterAll(() => {
  model.dispose();
  setThreads(before);
});

test('continues the beginning of text as transformers does', async () => {
  const [[completion]] = (await generate(model, [Int32Array.of(1)], { maxNewTokens: 5, greedy: true })) as [
    [never],
  ];
  const { tokens, logps, finish } = completion as { tokens: Int32Array; logps: Float64Array; finish: string };
  expect([...tokens]).toEqual([403, 407, 261, 378, 432]);
  const expected = [-0.243744, -0.017513, -0.01211, -0.000724, -0.031703];
  for (const [index, logp] of expected.entries()) expect(logps[index]).toBeCloseTo(logp, 5);
  expect(finish).toBe('length');
});

test('leaves no tensor behind', async () => {
  const live = memory().liveTensors;
  await generate(model, [Int32Array.of(1), Int32Array.of(1, 403)], {
    maxNewTokens: 40,
    samplesPerPrompt: 2,
    seed: 3,
  });
  expect(memory().liveTensors).toBe(live);
});
