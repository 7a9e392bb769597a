import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { OptimizerOptions } from '../src/optim/index.ts';
import { type TinyTraining, tinyTraining } from './support/tiny-training.ts';

const support = (name: string) => fileURLToPath(new URL(`support/${name}`, import.meta.url));

/** Starts the run in a process of its own and kills it with SIGKILL so many milliseconds after it reports a step. */
async function killAt(training: TinyTraining, step: number, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, [
    support('run-typescript.mjs'),
    support('train-process.ts'),
    JSON.stringify(training),
  ]);
  let output = '';
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  child.stdout.on('data', (data) => {
    output += data;
    if (output.includes(`step ${step}\n`)) setTimeout(() => child.kill('SIGKILL'), afterMs);
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('exit', (...ended) => resolve(ended));
  });
  // The kill has to have been what ended it; otherwise this test tests nothing.
  expect({ code, signal, errors }).toEqual({ code: null, signal: 'SIGKILL', errors: '' });
}

const cases: { optimizer: OptimizerOptions; dtype: 'float32' | 'bfloat16' }[] = [
  { optimizer: { name: 'adamw', weightDecay: 0.1 }, dtype: 'float32' },
  { optimizer: { name: 'rmsprop', momentum: 0.5, centered: true }, dtype: 'bfloat16' },
  { optimizer: { name: 'sgd', momentum: 0.9, nesterov: true }, dtype: 'float32' },
];

describe('a run killed with SIGKILL and resumed', () => {
  it.each(cases)(
    'writes the bytes of one that was not: $optimizer.name, $dtype',
    async ({ optimizer, dtype }) => {
      const directory = mkdtempSync(join(tmpdir(), 'mallows-kill-'));
      const base = { optimizer, dtype, steps: 40, checkpointEvery: 3 };
      const whole = { ...base, path: join(directory, 'whole') };
      const killed = { ...base, path: join(directory, 'killed') };
      const { status } = await tinyTraining(whole);
      expect(status).toBe('finished');
      // Once before the first checkpoint, once after: at whatever the process is doing some milliseconds later.
      await killAt(killed, 1, 0);
      await killAt(killed, 10, 7);
      expect(existsSync(join(killed.path, 'run.lock'))).toBe(true);
      const resumed = await tinyTraining(killed);
      expect(resumed).toMatchObject({ status: 'finished', step: 40 });
      expect(resumed.resumedFrom).toBeGreaterThanOrEqual(9);
      expect(resumed.resumedFrom % 3).toBe(0);
      for (const file of [
        'metrics.jsonl',
        'checkpoints/step-40/weights.safetensors',
        'checkpoints/step-40/optimizer.safetensors',
      ]) {
        const expected = readFileSync(join(whole.path, file));
        expect(expected.byteLength).toBeGreaterThan(1000);
        expect(readFileSync(join(killed.path, file)).equals(expected), file).toBe(true);
      }
    },
    120_000,
  );
});
