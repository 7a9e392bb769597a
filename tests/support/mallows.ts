import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

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
