import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, vi } from 'vitest';
import { main } from '../../src/cli/main.ts';

/** A trained model of 260,000 weights. */
export const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

export interface MallowsEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** What a command line that ran in this process wrote. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `mallows …` in this process. */
export function runMallows(...argv: readonly string[]): Promise<Said> {
  return watchMallows(() => {}, ...argv);
}

/** The same; `onStderr` is given what it writes to stderr at once. */
export async function watchMallows(
  onStderr: (text: string) => void,
  ...argv: readonly string[]
): Promise<Said> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      written[name] += String(chunk);
      if (name === 'stderr') onStderr(String(chunk));
      return true;
    }),
  );
  try {
    return { code: await main(argv), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Starts `mallows … --json` in a process of its own; `onEvent` is given every line of its output. */
export function startMallows(
  args: readonly string[],
  onEvent: (event: MallowsEvent, child: ChildProcess) => void = () => {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const program = fileURLToPath(new URL('mallows.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    onEvent(JSON.parse(line) as MallowsEvent, child);
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });
  return { child, ended };
}

/** A folder with pairs in it and a cache of its own, for as long as the tests of a file run. */
export function storyFolder(name: string): { readonly folder: string; readonly data: string } {
  const folder = mkdtempSync(join(tmpdir(), `mallows-${name}-`));
  const data = join(folder, 'pairs.jsonl');
  beforeAll(() => {
    writeFileSync(data, storyPairs('a girl'));
    vi.stubEnv('MALLOWS_CACHE', join(folder, 'cache'));
  });
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  return { folder, data };
}

/** Twelve preference pairs, as JSON lines. */
export function storyPairs(hero: string): string {
  return Array.from({ length: 12 }, (_, i) =>
    JSON.stringify({
      prompt: `Once upon a time there was ${hero} number ${i}.`,
      chosen: ` She ran home ${'and sang '.repeat(i % 4)}.`,
      rejected: ' It was a very big dog.',
    }),
  ).join('\n');
}
