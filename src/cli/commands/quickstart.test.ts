import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { runMallows } from '../../../tests/support/mallows.ts';

// The real quickstart takes minutes; what it says when it is interrupted needs none of them.
vi.mock('../../train/index.ts', async (original) => ({
  ...(await original<object>()),
  trainPreference: async () => ({ status: 'interrupted', step: 3, totalSteps: 90 }),
}));

const folder = mkdtempSync(join(tmpdir(), 'mallows-quickstart-'));
afterAll(() => rmSync(folder, { recursive: true }));

it.each([
  [[], 'mallows quickstart'],
  [['--output', join(folder, 'q')], `mallows quickstart --output ${join(folder, 'q')}`],
  [['--output', join(folder, 'my run')], `mallows quickstart --output '${join(folder, 'my run')}'`],
])('names the command that goes on with this run: %j', async (args, again) => {
  // Not over a quickstart that has finished here.
  const { code, stderr } = await runMallows('quickstart', ...args, '--overwrite');
  expect(code, stderr).toBe(130);
  expect(stderr.trim().split('\n').at(-1)).toBe(`Interrupted after step 3 of 90. Go on with: ${again}`);
});
