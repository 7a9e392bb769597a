import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { STORIES, startMallows, storyFolder, storyPairs } from './support/mallows.ts';

/*
 * How sweeps end: as a process with trainings below it, on a trained model of 260,000 weights.
 */

const { folder, data } = storyFolder('sweep-ends');

const sweep = (output: string, steps: number, ...more: string[]) => [
  ...['sweep', '--model', STORIES, '--data', data, '--output', output, '--no-control', '--retries', '0'],
  ...['eval_fraction=0.25', `steps=${steps}`, 'dtype=fp32', 'eval.samples=0'].flatMap((one) => [
    '--set',
    one,
  ]),
  ...more,
];

/** Whatever should have ended by now. */
const started: number[] = [];
afterEach(() => {
  for (const pid of started.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
});

/** Only a signal ends it. */
const ENDLESS = 1_000_000;

const reportOf = (output: string) => JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'));

const linesOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0);

/** The process of the only training under way and its directory, once it has made some updates. */
async function training(output: string): Promise<{ pid: number; run: string }> {
  let found: { pid: number; run: string } | undefined;
  await vi.waitUntil(
    () => {
      const [lock] = existsSync(output) ? locksIn(output) : [];
      if (lock === undefined || linesOf(join(dirname(lock), 'metrics.jsonl')) < 3) return false;
      found = { pid: JSON.parse(readFileSync(lock, 'utf8')).pid, run: dirname(lock) };
      started.push(found.pid);
      return true;
    },
    { timeout: 60_000, interval: 20 },
  );
  return found!;
}

const locksIn = (output: string) =>
  readdirSync(output, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('run.lock'))
    .map((name) => join(output, name));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Its parent may have gone, and nobody else collect it.
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || !/^State:\s*Z/m.test(readFileSync(status, 'utf8'));
}

/** Waits until the process has written this on stderr. */
async function told(child: ChildProcess, words: string): Promise<void> {
  let said = '';
  child.stderr!.on('data', (text) => {
    said += text;
  });
  await vi.waitUntil(() => said.includes(words), { timeout: 30_000, interval: 20 });
}

const gone = (pid: number) => vi.waitUntil(() => !isAlive(pid), { timeout: 30_000, interval: 20 });

const checkpoints = (run: string) => readdirSync(join(run, 'checkpoints'));

describe('a sweep’s baseline', () => {
  it('is looked for before anything is trained', async () => {
    const output = join(folder, 'unknown');
    const args = ['--grid', 'objective.name=dpo', '--grid', 'objective.beta=0.1', '--baseline', 'dpo'];
    const { code, stderr } = await startMallows(sweep(output, 2, ...args)).ended;
    expect(code, stderr).toBe(2);
    expect(stderr).toContain('Choose one of: "dpo, beta 0.1".');
    expect(existsSync(output)).toBe(false);
  });

  it('may fail: the report has the other cells, and its last words', async () => {
    const output = join(folder, 'failing');
    // There are no votes in the data.
    const grid = ['--set', 'objective.name=mallows-theta', '--grid', 'dispersion.source=entropy,votes'];
    const baseline = 'mallows-theta, source votes';
    const { code, stderr } = await startMallows(sweep(output, 2, ...grid, '--baseline', baseline)).ended;
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('sweep-runs-failed');
    expect(stderr).toContain(`No run of the baseline, ${baseline}, was measured`);
    expect(reportOf(output)).toMatchObject({
      settings: { baseline },
      summary: { best: [{ cell: 'mallows-theta, source entropy' }], comparisons: [] },
      failed: [{ cell: baseline, error: expect.stringContaining('error: ') }],
    });
  });

  it('may be yet to come when Ctrl-C does', async () => {
    const output = join(folder, 'later');
    const grid = ['--grid', 'objective.name=dpo,ipo', '--baseline', 'ipo'];
    const { ended } = startMallows(sweep(output, 2, ...grid), ({ event, status }, child) => {
      if (event === 'run' && status === 'finished') child.kill('SIGINT');
    });
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(130);
    expect(reportOf(output)).toMatchObject({
      summary: { best: [{ cell: 'dpo' }] },
      unfinished: [{ cell: 'ipo', seed: 0 }],
    });
  });
});

describe('a sweep’s trainings', () => {
  const endless = (name: string) => {
    const output = join(folder, name);
    const { child, ended } = startMallows(sweep(output, ENDLESS, '--grid', 'objective.name=dpo'));
    started.push(child.pid!);
    return { output, child, ended };
  };

  it('leave it unfinished when they are stopped from outside', async () => {
    const { output, ended } = endless('outside');
    const { pid } = await training(output);
    process.kill(pid, 'SIGTERM');
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('1 of 1 runs were stopped from outside');
    expect(reportOf(output).unfinished).toHaveLength(1);
  });

  it('save a checkpoint when its terminal hangs up', async () => {
    const { output, child, ended } = endless('hangup');
    const { pid, run } = await training(output);
    child.kill('SIGHUP');
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(130);
    expect(isAlive(pid)).toBe(false);
    expect(checkpoints(run)).toHaveLength(1);
  });

  it('save a checkpoint once where every process is sent the signal', async () => {
    const { output, child, ended } = endless('everybody');
    const { pid, run } = await training(output);
    process.kill(pid, 'SIGSTOP');
    process.kill(pid, 'SIGTERM');
    child.kill('SIGTERM');
    await told(child, 'again to kill');
    process.kill(pid, 'SIGCONT');
    expect((await ended).code).toBe(130);
    expect(checkpoints(run)).toHaveLength(1);
  });

  it('stop with a checkpoint when it is killed', async () => {
    const { output, child, ended } = endless('killed');
    const { pid, run } = await training(output);
    child.kill('SIGKILL');
    expect((await ended).signal).toBe('SIGKILL');
    await gone(pid);
    expect(checkpoints(run)).toHaveLength(1);
    expect(existsSync(join(run, 'run.lock'))).toBe(false);
  });

  it('are killed with it when it is told to stop a second time', async () => {
    const { output, child, ended } = endless('twice');
    const { pid, run } = await training(output);
    // It cannot answer the first time.
    process.kill(pid, 'SIGSTOP');
    child.kill('SIGINT');
    await told(child, 'again to kill');
    child.kill('SIGINT');
    expect((await ended).signal).toBe('SIGINT');
    await gone(pid);
    expect(checkpoints(run)).toEqual([]);
  });
});

it('refuses to mix runs of different data, as soon as there are two', { timeout: 120_000 }, async () => {
  const output = join(folder, 'mixed');
  const grid = ['--grid', 'objective.name=dpo'];
  const first = await startMallows(sweep(output, 2, ...grid)).ended;
  expect(first.code, first.stderr).toBe(0);
  const report = readFileSync(join(output, 'report.json'), 'utf8');
  writeFileSync(data, storyPairs('a boy'));
  const events: string[] = [];
  for (const began of [true, false]) {
    events.length = 0;
    const args = sweep(output, 2, ...grid, '--seeds', '3');
    const { code, stderr } = await startMallows(args, ({ event, status }) => {
      if (event === 'run') events.push(String(status));
    }).ended;
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/sweep-mixed/);
    expect(stderr).toMatch(/training data: SHA-256 \w{12}… in \S+seed-0; SHA-256 \w{12}… in \S+seed-1\./);
    expect(stderr).not.toMatch(/the model|held-out/);
    expect(events.length > 0, 'something ran').toBe(began);
  }
  expect(readFileSync(join(output, 'report.json'), 'utf8')).toBe(report);
});
