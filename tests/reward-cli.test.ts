import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { main } from '../src/cli/main.ts';
import { setThreads } from '../src/engine/index.ts';

const STORIES = fileURLToPath(new URL('./fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mallows-reward-'));
const at = (name: string) => join(folder, name);
setThreads(1);
afterEach(() => vi.restoreAllMocks());

async function mallows(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      written[name] += String(chunk);
      return true;
    });
  }
  const code = await main(argv);
  vi.restoreAllMocks();
  return { code, ...written };
}

const readLines = (path: string) =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
const writeLines = (name: string, rows: readonly object[]) => {
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return at(name);
};

const ANIMALS = ['cat', 'dog', 'bird', 'fox', 'cow', 'pig', 'bear', 'frog', 'fish', 'duck', 'goat', 'hen'];

it('reward train, score and judge agree with each other on a real small model', async () => {
  const pairs = writeLines(
    'pairs.jsonl',
    ANIMALS.map((animal, i) => ({
      id: `p${i}`,
      prompt: `Once there was a ${animal}.`,
      chosen: ' It was happy and kind.',
      rejected: ' It was sad and mean.',
    })),
  );
  const trained = await mallows(
    ...['reward', 'train', '--model', STORIES, '--data', pairs, '--eval-data', pairs, '--output', at('run')],
    ...['--steps', '12', '--batch', '4', '--lr', '1e-3', '--dtype', 'fp32', '--format', 'text'],
  );
  expect(trained.code, trained.stderr).toBe(0);
  const metrics = readLines(at('run/metrics.jsonl'));
  expect(metrics.at(-1)['eval_rewards/accuracies']).toBe(1);
  expect(metrics.at(-1).eval_loss).toBeLessThan(metrics[0].eval_loss / 2);
  const config = JSON.parse(readFileSync(at('run/model/config.json'), 'utf8'));
  expect(config).toMatchObject({ num_labels: 1, id2label: { 0: 'reward' } });

  const scored = await mallows(
    ...[
      'reward',
      'score',
      '--model',
      at('run/model'),
      '--data',
      pairs,
      '--format',
      'text',
      '--output',
      at('scored.jsonl'),
    ],
  );
  expect(scored.code, scored.stderr).toBe(0);
  const margins = readLines(at('scored.jsonl')).map(({ margin }) => margin);
  expect(margins).toHaveLength(12);
  const mean = margins.reduce((sum: number, margin: number) => sum + margin, 0) / margins.length;
  // What training saw of the held-out pairs at the end is what the saved model says.
  expect(mean).toBeCloseTo(metrics.at(-1)['eval_rewards/margins'], 3);

  const answers = (name: string, text: string) =>
    writeLines(
      name,
      ANIMALS.map((animal, i) => ({
        id: `p${i}`,
        prompt: `Once there was a ${animal}.`,
        completions: [{ text }],
      })),
    );
  const kind = answers('kind.jsonl', ' It was happy and kind.');
  const mean2 = answers('mean.jsonl', ' It was sad and mean.');
  const judged = await mallows(
    ...[
      'judge',
      '--a',
      kind,
      '--b',
      mean2,
      '--judge',
      at('run/model'),
      '--output',
      at('judged.jsonl'),
      '--json',
    ],
  );
  expect(judged.code, judged.stderr).toBe(0);
  expect(JSON.parse(judged.stdout)).toMatchObject({ n: 12, wins: 12, winRate: 100, unparsable: 0 });

  const rewards = await mallows(
    ...['reward', 'score', '--model', at('run/model'), '--answers', kind, '--output', at('rewards.jsonl')],
  );
  expect(rewards.code, rewards.stderr).toBe(0);
  expect(readLines(at('rewards.jsonl'))[3].scores[0]).toBeCloseTo(readLines(at('scored.jsonl'))[3].chosen, 1);
  // A model may stand in A's place: it answers the prompts now, and its answers are kept.
  const answering = await mallows(
    ...['judge', '--a', STORIES, '--b', mean2, '--prompts', kind, '--max-new-tokens', '8'],
    ...['--judge', at('run/model'), '--output', at('model.jsonl'), '--json'],
  );
  expect(answering.code, answering.stderr).toBe(0);
  expect(JSON.parse(answering.stdout).n).toBe(12);
  expect(readLines(at('model.a.jsonl'))[0].completions[0].tokens.length).toBeGreaterThan(0);

  const neither = await mallows('reward', 'score', '--model', at('run/model'), '--output', at('x.jsonl'));
  expect(neither.code).toBe(2);
});
