import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type MallowsEvent, STORIES, startMallows, storyFolder } from './support/mallows.ts';

const { folder, data } = storyFolder('interrupt');

/** More updates than anybody waits for: only a signal ends it. */
const training = (output: string) => [
  ...['train', '--model', STORIES, '--data', data, '--objective', 'dpo', '--output', output],
  ...['--set', 'steps=100000', '--set', 'dtype=fp32', '--set', 'eval.samples=0', '--set', 'threads=1'],
];

const isFirstStep = ({ event, step }: MallowsEvent) => event === 'step' && step === 1;

it('ends with the error when the checkpoint of an interruption cannot be saved', async () => {
  const output = join(folder, 'full');
  const { ended } = startMallows(training(output), (event, child) => {
    if (!isFirstStep(event)) return;
    // Nothing can be written there any more.
    rmSync(join(output, 'checkpoints'), { recursive: true });
    writeFileSync(join(output, 'checkpoints'), '');
    child.kill('SIGINT');
  });
  const { code, stderr } = await ended;
  expect(code, stderr).toBe(1);
  expect(stderr).toContain('error: ');
  expect(stderr).not.toContain('--resume');
});

it('saves a checkpoint when its terminal hangs up, and names the way on for a shell', async () => {
  const output = join(folder, 'my run');
  const { ended } = startMallows(training(output), (event, child) => {
    if (isFirstStep(event)) child.kill('SIGHUP');
  });
  const { code, stderr } = await ended;
  expect(code, stderr).toBe(130);
  expect(stderr).toContain(`Go on with: mallows train '${join(output, 'recipe.yaml')}' --resume`);
  expect(readdirSync(join(output, 'checkpoints'))).toHaveLength(1);
  expect(existsSync(join(output, 'run.lock'))).toBe(false);
});
