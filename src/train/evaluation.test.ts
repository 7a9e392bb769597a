import { expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/tiny-models.ts';
import { tinyPairs } from '../../tests/support/tiny-pairs.ts';
import { createObjective } from '../objectives/index.ts';
import { clusterBootstrap } from '../stats/index.ts';
import { evaluateTask, summarizePreferences } from './evaluation.ts';
import { PreferenceTask } from './preference-task.ts';
import { scoreRow } from './score.ts';

it('intervals of held-out figures are over prompts, and pairs say which prompt is theirs', async () => {
  const pairs = tinyPairs(12, 5);
  const model = tinyModel('llama', 'float32', 1, { initializer_range: 0.3 });
  const reference = scoreRow(tinyModel('llama', 'float32', 2, { initializer_range: 0.3 }), pairs);
  const task = new PreferenceTask({ pairs, reference }, createObjective({ name: 'dpo' }));
  const results = await evaluateTask(model, task, { rowTokens: 60 });
  const prompts = pairs.map((_, item) => `prompt ${item % 4}`);
  const summary = summarizePreferences(
    results,
    (item) => ({ id: pairs[item]!.id, prompt: prompts[item]! }),
    undefined,
  );
  expect(summary.pairs.map(({ id, prompt }) => [id, prompt])).toEqual(
    pairs.map(({ id }, item) => [id, prompts[item]]),
  );
  for (const [name, values] of [
    ['loss', summary.pairs.map(({ loss }) => loss)],
    ['rewards/accuracies', summary.pairs.map(({ win }) => win)],
  ] as const) {
    const { estimate, low, high } = clusterBootstrap(values, prompts, { resamples: 2000 });
    expect(summary.metrics[name]).toBeCloseTo(estimate, 12);
    expect([summary.metrics[`${name}/low`], summary.metrics[`${name}/high`]]).toEqual([low, high]);
  }
  const single = summarizePreferences(results, (item) => ({ id: `${item}`, prompt: 'one' }), undefined);
  expect(single.metrics).not.toHaveProperty('loss/low');
});

it('compares losses with those of the same pairs at the start, and with no others', async () => {
  const pairs = tinyPairs(6);
  const model = tinyModel('llama', 'float32', 1, { initializer_range: 0.3 });
  const reference = scoreRow(tinyModel('llama', 'float32', 2, { initializer_range: 0.3 }), pairs);
  const task = new PreferenceTask({ pairs, reference }, createObjective({ name: 'dpo' }));
  const results = await evaluateTask(model, task);
  const describeItem = (item: number) => ({ id: pairs[item]!.id, prompt: `${item}` });
  const { pairs: now } = summarizePreferences(results, describeItem);
  const start = now.map((pair) => ({ ...pair, loss: pair.loss + 0.5 }));
  const change = (before: typeof start) =>
    summarizePreferences(results, describeItem, { pairs: before }).metrics.loss_change;
  expect(change(start)).toBeCloseTo(-0.5, 12);
  expect(change(start.slice(0, 5))).toBeUndefined();
  expect(change([...start, start[0]!])).toBeUndefined();
  expect(change(start.with(2, { ...start[2]!, id: 'other' }))).toBeUndefined();
});
