import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'mallows-reproduce-kill-'));
afterAll(() => rmSync(folder, { recursive: true }));

const support = (name: string) => fileURLToPath(new URL(`support/${name}`, import.meta.url));

const data = join(folder, 'hh.jsonl');
writeFileSync(
  data,
  Array.from({ length: 36 }, (_, i) =>
    JSON.stringify({
      chosen: `\n\nHuman: What is number ${i}?\n\nAssistant: She was happy and smiled ${i} times.`,
      rejected: `\n\nHuman: What is number ${i}?\n\nAssistant: No.`,
    }),
  ).join('\n'),
);

const SETTINGS = {
  'sft.pairs': 8,
  'sft.batch': 4,
  'reward.pairs': 16,
  'reward.maxLength': 96,
  pairs: 10,
  'training.objectives': '[dpo, mallows-theta]',
  'training.batch': 4,
  'training.maxLength': 96,
  'training.seeds': 1,
  'evaluation.prompts': 4,
  'evaluation.maxNewTokens': 6,
};

interface StageEvent {
  readonly event: string;
  readonly name?: string;
  readonly kept?: boolean;
}

/** Runs the experiment in a process of its own, killed so many milliseconds after a stage begins. */
async function reproduce(
  output: string,
  kill?: { readonly stage: string; readonly afterMs: number },
): Promise<{ signal: NodeJS.Signals | null; events: StageEvent[] }> {
  const set = Object.entries(SETTINGS).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const child = spawn(
    process.execPath,
    [
      support('run-typescript.mjs'),
      support('cli-process.ts'),
      ...[
        'reproduce',
        'hh',
        '--data',
        data,
        '--output',
        output,
        '--dtype',
        'fp32',
        '--threads',
        '1',
        '--json',
      ],
      ...['--model', 'tests/fixtures/models/stories260K/stories260K-f32.gguf', ...set],
    ],
    { env: { ...process.env, MALLOWS_CACHE: join(folder, 'cache') }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  const events: StageEvent[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as StageEvent;
    events.push(event);
    if (kill !== undefined && event.event === 'stage' && event.name === kill.stage) {
      setTimeout(() => child.kill('SIGKILL'), kill.afterMs);
    }
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('close', (...ended) => resolve(ended));
  });
  // The kill has to have been what ended it; otherwise this test tests nothing.
  expect({ code, signal }, errors).toEqual(
    kill === undefined ? { code: 0, signal: null } : { code: null, signal: 'SIGKILL' },
  );
  return { signal, events };
}

const stagesOf = (events: readonly StageEvent[]) =>
  events.flatMap(({ event, name, kept }) => (event === 'stage' ? [[name, kept]] : []));

describe('an experiment killed with SIGKILL and run again', () => {
  it('goes on at the stage that it was killed in, and ends as if nothing had been', {
    timeout: 300_000,
  }, async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    await reproduce(whole);
    const kills = [
      { stage: 'sft', afterMs: 20 },
      { stage: 'dpo, β = 0.1', afterMs: 60 },
      { stage: 'answers: dpo, β = 0.1', afterMs: 0 },
    ];
    const kept: number[] = [];
    for (const kill of kills) {
      const { events } = await reproduce(killed, kill);
      kept.push(stagesOf(events).filter(([, is]) => is === true).length);
    }
    const { events } = await reproduce(killed);
    kept.push(stagesOf(events).filter(([, is]) => is === true).length);
    expect(kept).toEqual([0, 1, 2, 6]);
    const report = (path: string) =>
      readFileSync(join(path, 'report.json'), 'utf8').replaceAll(path, 'OUTPUT');
    expect(report(killed)).toBe(report(whole));
  });
});
