import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { loadClassifier, loadModel } from '../src/checkpoints/index.ts';
import { setThreads } from '../src/engine/index.ts';
import { runMallows } from './support/mallows.ts';

const STORIES = fileURLToPath(new URL('./fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mallows-reward-'));
const at = (name: string) => join(folder, name);
setThreads(1);

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

const animalPairs = () =>
  writeLines(
    'pairs.jsonl',
    ANIMALS.map((animal, i) => ({
      id: `p${i}`,
      prompt: `Once there was a ${animal}.`,
      chosen: ' It was happy and kind.',
      rejected: ' It was sad and mean.',
    })),
  );

it('reward train, score and judge agree with each other on a real small model', async () => {
  const pairs = animalPairs();
  const trained = await runMallows(
    ...['reward', 'train', '--model', STORIES, '--data', pairs, '--eval-data', pairs, '--output', at('run')],
    ...[
      '--steps',
      '12',
      '--batch',
      '4',
      '--lr',
      '1e-3',
      '--dtype',
      'fp32',
      '--format',
      'text',
      '--seed',
      '5',
    ],
  );
  expect(trained.code, trained.stderr).toBe(0);
  const metrics = readLines(at('run/metrics.jsonl'));
  expect(metrics.at(-1)['eval_rewards/accuracies']).toBe(1);
  expect(metrics.at(-1).eval_loss).toBeLessThan(metrics[0].eval_loss / 2);
  const provenance = JSON.parse(readFileSync(at('run/provenance.json'), 'utf8'));
  expect(provenance).toMatchObject({ device: 'cpu', seed: 5, threads: 1, precision: { dtype: 'float32' } });
  expect(provenance.data.maxLength).toBe(512);
  const config = JSON.parse(readFileSync(at('run/model/config.json'), 'utf8'));
  expect(config).toMatchObject({ num_labels: 1, id2label: { 0: 'reward' } });
  // Under a recipe's keys, with defaults that depend on others filled in.
  expect(parse(readFileSync(at('run/recipe.yaml'), 'utf8'))).toEqual({
    ...{ model: STORIES, data: pairs, eval_data: pairs, format: 'text', steps: 12 },
    objective: { name: 'bradley-terry', centering: 0.01 },
    optimizer: { name: 'adamw', lr: 1e-3 },
    batch: { pairs: 4, accumulate: 1 },
    checkpoint: { every: 0 },
    ...{ dtype: 'fp32', device: 'auto', recompute: false, seed: 5, output: at('run'), eval: { every: 0 } },
  });

  const scored = await runMallows(
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
  const judged = await runMallows(
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

  const rewards = await runMallows(
    ...['reward', 'score', '--model', at('run/model'), '--answers', kind, '--output', at('rewards.jsonl')],
  );
  expect(rewards.code, rewards.stderr).toBe(0);
  expect(readLines(at('rewards.jsonl'))[3].scores[0]).toBeCloseTo(readLines(at('scored.jsonl'))[3].chosen, 1);
  // A model may stand in A's place: it answers the prompts now, and its answers are kept.
  const answering = await runMallows(
    ...['judge', '--a', STORIES, '--b', mean2, '--prompts', kind, '--max-new-tokens', '8'],
    ...['--judge', at('run/model'), '--output', at('model.jsonl'), '--json'],
  );
  expect(answering.code, answering.stderr).toBe(0);
  const [sampling, summary] = answering.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(sampling).toMatchObject({ event: 'sampling', greedy: true });
  expect(summary).toMatchObject({ event: 'summary', n: 12 });
  expect(readLines(at('model.a.jsonl'))[0].completions[0].tokens.length).toBeGreaterThan(0);

  // Where models run, and in which type, is said to all commands alike.
  const here = ['--dtype', 'bf16', '--device', 'cpu', '--threads', '1'];
  const rough = await runMallows(
    ...[
      'reward',
      'score',
      '--model',
      at('run/model'),
      '--answers',
      kind,
      '--output',
      at('rough.jsonl'),
      ...here,
    ],
  );
  expect(rough.code, rough.stderr).toBe(0);
  const scores = (name: string) => readLines(at(name)).map((row) => row.scores[0] as number);
  const errors = scores('rough.jsonl').map((score, i) => Math.abs(score - scores('rewards.jsonl')[i]!));
  expect(Math.max(...errors)).toBeGreaterThan(1e-5);
  expect(Math.max(...errors)).toBeLessThan(0.3);
  const roughly = await runMallows(
    ...['judge', '--a', STORIES, '--b', mean2, '--prompts', kind, '--max-new-tokens', '8', ...here],
    ...['--judge', at('run/model'), '--output', at('roughly.jsonl'), '--json'],
  );
  expect(roughly.code, roughly.stderr).toBe(0);
  const words = (name: string) => readLines(at(name)).map(({ verdicts }) => verdicts[0].text);
  expect(words('roughly.jsonl')).not.toEqual(words('model.jsonl'));

  const stopped = runMallows(
    ...['judge', '--a', kind, '--b', mean2, '--judge', at('run/model'), '--output', at('stopped.jsonl')],
  );
  const listeners = process.listenerCount('SIGINT');
  await vi.waitUntil(() => process.listenerCount('SIGINT') > listeners, { interval: 1 });
  process.emit('SIGINT', 'SIGINT');
  const { code, stderr } = await stopped;
  expect(code, stderr).toBe(130);
  expect(stderr).toContain('Interrupted; no verdict was written.');
  expect(stderr).not.toContain('kept');
  expect(existsSync(at('stopped.jsonl')) || existsSync(at('stopped.cache.jsonl'))).toBe(false);

  // Rows that no score was given to are told, or refused.
  const same = { id: 'same', prompt: 'Once', chosen: ' x', rejected: ' x' };
  const withBad = writeLines('with-bad.jsonl', [...readLines(pairs).slice(0, 2), same]);
  const partly = ['reward', 'score', '--model', at('run/model'), '--data', withBad, '--format', 'text'];
  const told = await runMallows(...partly, '--output', at('partly.jsonl'));
  expect(told.code, told.stderr).toBe(0);
  expect(told.stderr).toContain('1 row left out: 1 identical-completions');
  expect(told.stderr).toContain(`${withBad}:3`);
  expect((await runMallows(...partly, '--strict', '--output', at('strict.jsonl'))).code).toBe(3);

  const neither = await runMallows('reward', 'score', '--model', at('run/model'), '--output', at('x.jsonl'));
  expect(neither.code).toBe(2);
});

it('reward train with adapters changes the trunk through them alone, and saves them merged', async () => {
  const pairs = animalPairs();
  const trained = await runMallows(
    ...['reward', 'train', '--model', STORIES, '--data', pairs, '--eval-data', pairs, '--format', 'text'],
    ...['--lora', '4', '--lora-targets', 'q_proj,down_proj', '--lr', '1e-2', '--steps', '12', '--batch', '4'],
    ...['--dtype', 'fp32', '--output', at('lora')],
  );
  expect(trained.code, trained.stderr).toBe(0);
  expect(trained.stderr).toMatch(/A step takes about \d+ MiB at its peak \(weights/);
  const metrics = readLines(at('lora/metrics.jsonl'));
  expect(metrics.at(-1).eval_loss).toBeLessThan(metrics[0].eval_loss / 2);

  const [base, saved] = [await loadModel(STORIES), await loadClassifier(at('lora/model'))];
  const changed = [...saved.model.parameters].flatMap(([name, { value }]) => {
    const before = base.model.parameters.get(name)?.value.toFloat64();
    return before === undefined || value.toFloat64().some((x, i) => x !== before[i]) ? [name] : [];
  });
  const layers = base.model.layers.map((_, i) => i);
  expect(changed.sort()).toEqual(
    [
      ...layers.flatMap((i) =>
        ['mlp.down_proj', 'self_attn.q_proj'].map((map) => `model.layers.${i}.${map}.weight`),
      ),
      'score.weight',
    ].sort(),
  );
  base.model.dispose();
  saved.model.dispose();

  const scored = await runMallows(
    ...['reward', 'score', '--model', at('lora/model'), '--data', pairs, '--format', 'text'],
    ...['--output', at('lora-scored.jsonl')],
  );
  expect(scored.code, scored.stderr).toBe(0);
  const margins = readLines(at('lora-scored.jsonl')).map(({ margin }) => margin);
  const mean = margins.reduce((sum: number, margin: number) => sum + margin, 0) / margins.length;
  expect(mean).toBeCloseTo(metrics.at(-1)['eval_rewards/margins'], 3);

  const rankless = await runMallows(
    ...['reward', 'train', '--model', STORIES, '--data', pairs, '--lora-alpha', '8', '--output', at('x')],
  );
  expect(rankless.code).toBe(2);
  expect(rankless.stderr).toContain('--lora 16');
});

it('reward train says how to go on when it is interrupted, and computes on as many threads as it is told', async () => {
  const argv = [
    ...['reward', 'train', '--model', STORIES, '--data', animalPairs(), '--format', 'text', '--overwrite'],
    ...['--steps', '200', '--batch', '2', '--dtype', 'fp32', '--threads', '1', '--output', at('my run')],
  ];
  const running = runMallows(...argv);
  await vi.waitUntil(() => existsSync(at('my run/metrics.jsonl')), { interval: 1, timeout: 30_000 });
  process.emit('SIGINT', 'SIGINT');
  const { code, stderr } = await running;
  expect(code, stderr).toBe(130);
  const again = argv
    .filter((word) => word !== '--overwrite')
    .map((word) => (/ /.test(word) ? `'${word}'` : word));
  expect(stderr).toContain(`Go on with: mallows ${again.join(' ')} --resume`);
  expect(JSON.parse(readFileSync(at('my run/provenance.json'), 'utf8'))).toMatchObject({ threads: 1 });

  // How often checkpoints are written is no part of what is computed; the rate is.
  const resumed = (...more: readonly string[]) =>
    runMallows(...argv.filter((word) => word !== '--overwrite'), '--resume', ...more);
  const otherRate = await resumed('--lr', '2e-5');
  expect(otherRate.code).toBe(2);
  expect(otherRate.stderr).toContain('optimizer.lr: 0.00001');
  const otherCheckpoints = await resumed('--checkpoint-every', '100');
  expect(otherCheckpoints.code, otherCheckpoints.stderr).toBe(0);
});

it('reward train refuses steps with epochs before it begins a run', async () => {
  const argv = ['reward', 'train', '--model', STORIES, '--data', animalPairs(), '--output', at('neither')];
  const refused = await runMallows(...argv, '--steps', '2', '--epochs', '1');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('Both steps (2) and epochs (1) are given.');
  expect(existsSync(at('neither'))).toBe(false);
});

/** Runs the command in a process of its own, which is killed with SIGKILL as soon as it has reported `step`. */
async function killAtStep(step: number, argv: readonly string[]): Promise<void> {
  const support = (name: string) => fileURLToPath(new URL(`support/${name}`, import.meta.url));
  const child = spawn(
    process.execPath,
    [support('run-typescript.mjs'), support('cli-process.ts'), ...argv, '--json'],
    {
      env: { ...process.env, OMP_NUM_THREADS: '1' },
    },
  );
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
    if (output.includes(`"step":${step},`)) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.on('exit', (_, ended) => resolve(ended)));
  // The kill has to have been what ended it; otherwise this test tests nothing.
  expect(signal, output).toBe('SIGKILL');
}

it.each([
  ['all weights', []],
  ['adapters', ['--lora', '4']],
] as const)(
  'reward train of %s goes on after SIGKILL to the bytes of a run that was not killed',
  async (_, flags) => {
    const name = flags.length === 0 ? 'full' : 'adapted';
    const argv = (output: string) => [
      ...['reward', 'train', '--model', STORIES, '--data', animalPairs(), '--format', 'text', '--seed', '3'],
      ...['--steps', '30', '--batch', '2', '--accumulate', '2', '--lr', '1e-3', '--checkpoint-every', '4'],
      ...['--eval-every', '10', '--dtype', 'bf16', '--output', at(output), ...flags],
    ];
    const whole = await runMallows(...argv(`${name}-whole`));
    expect(whole.code, whole.stderr).toBe(0);
    await killAtStep(14, argv(`${name}-killed`));
    expect(existsSync(at(`${name}-killed/model`))).toBe(false);
    const resumed = await runMallows(...argv(`${name}-killed`), '--resume');
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toMatch(/step (12|16|20)/);
    for (const file of [
      'metrics.jsonl',
      'model/model.safetensors',
      'checkpoints/step-30/optimizer.safetensors',
    ]) {
      const expected = readFileSync(at(`${name}-whole/${file}`));
      expect(expected.byteLength).toBeGreaterThan(1000);
      expect(readFileSync(at(`${name}-killed/${file}`)).equals(expected), file).toBe(true);
    }
  },
  120_000,
);
