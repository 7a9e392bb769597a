import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runMallows } from '../../../tests/support/mallows.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-frontier-'));
afterAll(() => rmSync(folder, { recursive: true }));

it.each([
  ['frontier.png', 'frontier'],
  ['frontier.svg', 'frontier'],
  ['R&D 2.SVG', 'R&D 2'],
])('frontier writes %s and its other form', async (output, name) => {
  const run = join(folder, 'dpo');
  mkdirSync(run, { recursive: true });
  writeFileSync(join(run, 'recipe.yaml'), 'objective: {name: dpo, beta: 0.1}\nseed: 1\n');
  writeFileSync(
    join(run, 'metrics.jsonl'),
    '{"step":10,"eval_kl/on_policy":1,"eval_rewards/accuracies":0.5}\n',
  );
  const figures = join(folder, `to ${output}`);
  const { code, stderr } = await runMallows('frontier', run, '--output', join(figures, output));
  expect(code, stderr).toBe(0);
  expect(readdirSync(figures).sort()).toEqual([`${name}.png`, `${name}.svg`]);
  expect(readFileSync(join(figures, `${name}.svg`), 'utf8')).toContain('dpo, β = 0.1');
});
