import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { STORIES, STORY_PAIRS } from '../../tests/support/stories.ts';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import { memory, setThreads } from '../engine/index.ts';
import { evaluateTask } from './evaluation.ts';
import { sequenceKl } from './kl.ts';
import { type PreferenceOptions, trainPreference } from './preference.ts';
import { SftTask } from './sft-task.ts';

setThreads(1);

const sequences = tinyPairs(4).map(({ id, prompt, chosen }) => {
  return { id, prompt, completion: chosen, movedTokens: 0, cutTokens: 0 };
});

/** Fires while the rows after the first are still to come. */
function firingSoon(): AbortSignal {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  return stop.signal;
}

it('an evaluation stops between two rows', async () => {
  const model = tinyModel();
  const task = new SftTask(sequences);
  const packed: number[] = [];
  const pack = task.pack.bind(task);
  task.pack = (items) => {
    packed.push(items.length);
    return pack(items);
  };
  const signal = firingSoon();
  await expect(evaluateTask(model, task, { rowTokens: 1, signal })).rejects.toMatchObject({
    name: 'AbortError',
  });
  expect(packed.length).toBeLessThan(sequences.length);
  expect(packed.length).toBeGreaterThan(0);
  model.dispose();
});

it('the KL to the reference stops, and frees what it held', async () => {
  const model = tinyModel();
  const before = memory().liveTensors;
  const signal = firingSoon();
  let lent = false;
  const lend = async <T>(use: (reference: typeof model) => T | Promise<T>) => {
    lent = true;
    return await use(model);
  };
  await expect(sequenceKl(model, lend, sequences, signal)).rejects.toMatchObject({ name: 'AbortError' });
  expect(lent).toBe(false);
  expect(memory().liveTensors).toBe(before);
  model.dispose();
});

it.each([
  ['the first evaluation', { step: 0, after: false }],
  ['the last evaluation', { step: 2, after: false }],
  ['the last samples', { step: 2, after: true }],
])('a run that is stopped in %s goes on there, to the same files', async (_, at) => {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-stop-'));
  const train = async (output: string, more: Partial<PreferenceOptions> = {}) => {
    const result = await trainPreference({
      model: STORIES,
      data: STORY_PAIRS,
      evalFraction: 0.5,
      objective: 'dpo',
      learningRate: 1e-3,
      steps: 2,
      batch: { pairs: 2 },
      dtype: 'fp32',
      referenceCache: false,
      evaluation: { samples: 1, klSamples: 1, maxNewTokens: 4 },
      output: join(folder, output),
      ...more,
    });
    result.model.model.dispose();
    return result;
  };
  const whole = await train('whole');
  expect(whole.status).toBe('finished');
  const stop = new AbortController();
  const stopped = await train('stopped', {
    signal: stop.signal,
    probe: async ({ step, signal }) => {
      if (step === at.step) stop.abort();
      if (!at.after) signal?.throwIfAborted();
      return {};
    },
  });
  expect(stopped).toMatchObject({ status: 'interrupted', step: at.step, samples: [] });
  const file = (output: string, name: string) => join(folder, output, name);
  expect(existsSync(file('stopped', 'model'))).toBe(false);
  const resumed = await train('stopped', { resume: true });
  expect(resumed).toMatchObject({ status: 'finished', step: 2, resumedFrom: at.step });
  for (const name of ['metrics.jsonl', 'samples.jsonl', 'model/model.safetensors']) {
    expect(readFileSync(file('stopped', name)).equals(readFileSync(file('whole', name))), name).toBe(true);
  }
});
