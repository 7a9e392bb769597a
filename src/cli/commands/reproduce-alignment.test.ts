import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { type Reply, startChatServer } from '../../../tests/support/chat-server.ts';
import { STORIES, watchMallows } from '../../../tests/support/mallows.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-reproduce-alignment-'));
const at = (...names: string[]): string => join(folder, ...names);
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** Runs the smallest experiment; `onError` is given what it writes to stderr. */
function reproduce(judge: string, onError: (text: string) => void = () => {}, more: string[] = []) {
  const settings = [
    ...['sft=null', 'reward.pairs=8', 'reward.maxLength=96', 'reward.batch=4', 'pairs=8'],
    ...['training.objectives=[dpo]', 'training.seeds=1', 'training.batch=4', 'training.maxLength=96'],
    ...['evaluation.prompts=3', 'evaluation.maxNewTokens=4'],
  ];
  return watchMallows(
    onError,
    ...['reproduce', 'hh', '--data', at('pairs.jsonl'), '--model', STORIES, '--output', at('run')],
    ...['--dtype', 'fp32', '--device', 'cpu', '--judge', judge, ...more],
    ...settings.flatMap((setting) => ['--set', setting]),
  );
}

it('reproduce --judge takes the judges of mallows judge', { timeout: 120_000 }, async () => {
  vi.stubEnv('MALLOWS_CACHE', at('cache'));
  const rows = Array.from({ length: 24 }, (_, i) => ({
    prompt: `Once there was a girl with ${i} cats.`,
    chosen: ` She was happy ${i} times.`,
    rejected: ' No.',
  }));
  writeFileSync(at('pairs.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));

  // A name that is none is refused before anything is trained.
  const unknown = await reproduce('gpt');
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain('openai:MODEL, cmd:COMMAND, or the directory of a reward model');
  expect(existsSync(at('run'))).toBe(false);

  // So is a device that is not here, whichever judge there is.
  for (const judge of [STORIES, 'cmd:true']) {
    const elsewhere = await reproduce(judge, undefined, ['--device', 'cuda:99']);
    expect([elsewhere.code, elsewhere.stderr]).toEqual([2, expect.stringContaining('device-missing')]);
    expect(existsSync(at('run'))).toBe(false);
  }

  // So is a model that is no reward model, as judge or to score with.
  const noReward = [await reproduce(STORIES), await reproduce('cmd:true', undefined, ['--reward', STORIES])];
  for (const { code, stderr } of noReward)
    expect([code, stderr]).toEqual([1, expect.stringMatching(/score/)]);
  expect(readdirSync(at('run')).filter((name) => !name.startsWith('judge.cache'))).toEqual([]);

  let reply: Reply = { kind: 'status', status: 503, headers: { 'retry-after': '60' } };
  const server = await startChatServer(() => reply);
  const asking = ['--judge-url', server.url];

  // In an outage it says so, and Ctrl-C ends the wait.
  let interruptedAt = Number.NaN;
  const outage = await reproduce(
    'openai:m',
    (text) => {
      if (!text.includes('attempt 2 in') || !Number.isNaN(interruptedAt)) return;
      interruptedAt = performance.now();
      setImmediate(() => process.emit('SIGINT', 'SIGINT'));
    },
    asking,
  );
  expect(outage.code, outage.stderr).toBe(130);
  expect(performance.now() - interruptedAt).toBeLessThan(20_000);

  // Without one verdict that can be read there is nothing to report.
  reply = { kind: 'answer', content: 'I would rather not say.' };
  const silent = await reproduce('openai:m', undefined, asking);
  await server.close();
  expect(silent.code).toBe(3);
  expect(silent.stderr).toContain('None of the 3 pairs has a verdict.');
  expect(silent.stderr).toContain('I would rather not say.');
  expect(existsSync(at('run/report.json'))).toBe(false);

  // A reward model is loaded with the experiment's models, and nothing of it is kept.
  rmSync(at('run/judge.cache.jsonl'));
  const rewarded = await reproduce(at('run/reward/model'));
  expect(rewarded.code, rewarded.stderr).toBe(0);
  expect(JSON.parse(readFileSync(at('run/report.json'), 'utf8'))).toMatchObject({
    judge: at('run/reward/model'),
    comparisons: [{ answers: 3, unparsable: 0 }],
  });
  expect(existsSync(at('run/judge.cache.jsonl'))).toBe(false);
});
