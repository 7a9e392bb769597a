import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PlannedRun } from './plan.ts';

export interface RunOutcome {
  readonly run: PlannedRun;
  /** `kept`: finished in an earlier sweep. */
  readonly status: 'finished' | 'kept' | 'failed' | 'interrupted';
  readonly attempts: number;
  /** The last words of a failed run. */
  readonly error?: string;
}

export interface RunningSweep {
  /** Program and first arguments of `mallows`. */
  readonly command: readonly string[];
  readonly runs: readonly PlannedRun[];
  readonly parallel: number;
  /** Further attempts at a run that fails; each goes on from the last checkpoint. */
  readonly retries: number;
  /** CPU threads of each run. */
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SweepEvent) => void;
}

export type SweepEvent =
  | { readonly type: 'start'; readonly run: PlannedRun; readonly attempt: number }
  | { readonly type: 'step'; readonly run: PlannedRun; readonly step: number; readonly totalSteps: number }
  | { readonly type: 'outcome'; readonly outcome: RunOutcome };

/** Trying again does not help a wrong recipe or unusable data. */
const NOT_RETRIED = new Set<number | null>([2, 3]);
const INTERRUPTED = 130;

/**
 * Trains every run in a process of its own, `parallel` at a time. Of runs with one reference pass the first goes ahead
 * alone until it is done; the others then find its scores in the cache. When `signal` fires, running ones save a
 * checkpoint and stop; the same sweep later goes on with them.
 */
export async function runSweep(sweep: RunningSweep): Promise<RunOutcome[]> {
  const { runs, parallel, signal, onEvent } = sweep;
  const outcomes = new Map<PlannedRun, RunOutcome>();
  const settle = (outcome: RunOutcome): void => {
    outcomes.set(outcome.run, outcome);
    onEvent?.({ type: 'outcome', outcome });
  };
  let waiting = runs.filter((run) => {
    if (!existsSync(join(run.path, 'report.json'))) return true;
    settle({ run, status: 'kept', attempts: 0 });
    return false;
  });
  const scoring = new Set<string>();
  const scored = new Set<string>();
  let active = 0;
  let wake = (): void => {};

  const launch = async (run: PlannedRun): Promise<void> => {
    const key = run.referenceKey;
    const ahead = key !== undefined && !scored.has(key);
    if (ahead) scoring.add(key);
    const release = (): void => {
      if (ahead && scoring.delete(key)) {
        scored.add(key);
        wake();
      }
    };
    settle(await trainOne(run, sweep, release));
    // A run that failed before its pass was done leaves the pass to the next one.
    if (ahead && scoring.delete(key)) wake();
  };

  while (waiting.length > 0 || active > 0) {
    const next =
      active < parallel && signal?.aborted !== true
        ? waiting.find(({ referenceKey: key }) => key === undefined || !scoring.has(key))
        : undefined;
    if (next !== undefined) {
      waiting = waiting.filter((run) => run !== next);
      active++;
      void launch(next).finally(() => {
        active--;
        wake();
      });
      continue;
    }
    if (active === 0) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  for (const run of waiting) settle({ run, status: 'interrupted', attempts: 0 });
  return runs.map((run) => outcomes.get(run)!);
}

async function trainOne(run: PlannedRun, sweep: RunningSweep, scored: () => void): Promise<RunOutcome> {
  for (let attempt = 1; ; attempt++) {
    sweep.onEvent?.({ type: 'start', run, attempt });
    const { code, error } = await attemptRun(run, sweep, scored);
    if (code === 0) return { run, status: 'finished', attempts: attempt };
    if (sweep.signal?.aborted === true || code === INTERRUPTED) {
      return { run, status: 'interrupted', attempts: attempt };
    }
    if (attempt > sweep.retries || NOT_RETRIED.has(code)) {
      return { run, status: 'failed', attempts: attempt, error };
    }
  }
}

const KEPT_LINES = 12;

function attemptRun(
  run: PlannedRun,
  { command, threads, signal, onEvent }: RunningSweep,
  scored: () => void,
): Promise<{ code: number | null; error: string }> {
  const [program, ...first] = command;
  // A group of its own: Ctrl-C reaches it through `signal` only, once.
  const child = spawn(program!, [...first, ...run.args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) },
  });
  const log = `${run.path}.log`;
  mkdirSync(dirname(log), { recursive: true });
  const lastLines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    appendFileSync(log, `${line}\n`);
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = parseEvent(line);
    if (event?.event === 'phase' && event.phase === 'train') scored();
    if (event?.event === 'step') {
      onEvent?.({ type: 'step', run, step: Number(event.step), totalSteps: Number(event.totalSteps) });
    }
  });
  const stop = (): void => void child.kill('SIGINT');
  signal?.addEventListener('abort', stop, { once: true });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, error: error.message }));
    child.on('close', (code, killed) => {
      signal?.removeEventListener('abort', stop);
      const words = lastWords(lastLines);
      resolve({ code, error: killed === null ? words : `killed by ${killed}\n${words}`.trim() });
    });
  });
}

/** A run's error, or all that is kept of what it said where it died without one. */
function lastWords(lines: readonly string[]): string {
  const said = lines.filter((line) => line.trim() !== '');
  const error = said.findLastIndex((line) => line.startsWith('error: '));
  return said.slice(Math.max(0, error)).join('\n');
}

function parseEvent(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
