import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { promptKey } from '../data/index.ts';
import { setThreads } from '../engine/index.ts';
import { type EvaluatedPair, RunReader, readJsonLines } from '../runs/index.ts';
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

it.each([{}, { lora: { rank: 2 } }])(
  'compares with the model before training where the objective has no reference, also when resumed: %o',
  async (training) => {
    const pairs = ['Tom', 'Mia', 'Sam', 'Sue', 'Ben', 'Lily'].map((name) => ({
      id: name,
      prompt: `There was a child named ${name}.`,
      chosen: ' It was happy and played.',
      rejected: ' It was sad.',
    }));
    const directory = mkdtempSync(join(tmpdir(), 'mallows-evaluator-'));
    const tune = async (run: string, objective: string, more: object = {}) => {
      const { model } = await trainPreference({
        model: STORIES,
        objective,
        data: pairs,
        evalFraction: 0.5,
        output: join(directory, run),
        steps: 3,
        learningRate: 1e-3,
        dtype: 'fp32',
        device: 'cpu',
        referenceCache: false,
        evaluation: { every: 1 },
        ...training,
        ...more,
      });
      model.model.dispose();
    };
    const text = (run: string, name: string) => readFileSync(join(directory, run, name), 'utf8');
    const evaluated = (run: string, step: number) =>
      readJsonLines(join(directory, run, `evaluations/step-${step}.jsonl`)).records as EvaluatedPair[];

    await tune('whole', 'simpo');
    for (const pair of evaluated('whole', 0)) {
      expect(pair).toMatchObject({ chosenLogRatio: 0, rejectedLogRatio: 0 });
    }
    const last = evaluated('whole', 3);
    const means = (['chosen', 'rejected'] as const).map((side) => {
      const ratios = last.map((pair) => pair[`${side}LogRatio`]!);
      return ratios.reduce((total, ratio) => total + ratio, 0) / ratios.length;
    });
    expect(means.every((value) => value !== 0)).toBe(true);
    const logged = new RunReader(join(directory, 'whole')).metrics().at(-1)!;
    expect([logged['eval_log_ratio/chosen'], logged['eval_log_ratio/rejected']]).toEqual(means);
    // The training batches have no reference, so they say nothing of it.
    expect(logged['log_ratio/chosen']).toBeUndefined();

    // The same reference as that of an objective that has one.
    await tune('dpo', 'dpo', { steps: 1 });
    const logps = (run: string) =>
      readJsonLines(join(directory, run, 'eval-reference.jsonl')).records as { chosen: { logp: number } }[];
    for (const [index, { chosen }] of logps('dpo').entries()) {
      expect(logps('whole')[index]!.chosen.logp).toBeCloseTo(chosen.logp, 4);
    }

    const stop = new AbortController();
    await tune('stopped', 'simpo', {
      signal: stop.signal,
      observer: (event: { type: string; step?: number }) =>
        event.type === 'step' && event.step === 1 && stop.abort(),
    });
    await tune('stopped', 'simpo', { resume: true });
    for (const name of ['metrics.jsonl', 'evaluations/step-3.jsonl', 'eval-reference.jsonl']) {
      expect(text('stopped', name)).toBe(text('whole', name));
    }
    rmSync(directory, { recursive: true });
  },
);
