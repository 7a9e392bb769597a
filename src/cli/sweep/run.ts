import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { RunReader } from '../../runs/index.ts';
import { EXIT } from '../errors.ts';
import { STOP_WITH_STDIN, STOPPING } from '../interrupt.ts';
import { requireOneOrigin } from './origins.ts';
import type { PlannedRun } from './plan.ts';

export interface RunOutcome {
  readonly run: PlannedRun;
  /** `kept`: finished in an earlier sweep. `interrupted`: asked to stop, by this sweep or from outside, or never begun. */
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
  /** Running trainings save a checkpoint and stop, and no more begin. */
  readonly signal?: AbortSignal;
  /** Running trainings are killed, with all that they started. */
  readonly kill?: AbortSignal;
  /** Looks at every run that is done or was kept; what it throws stops the sweep, as one that is of no use. */
  readonly checkRun?: (run: PlannedRun) => void;
  readonly onEvent?: (event: SweepEvent) => void;
}

export type SweepEvent =
  | { readonly type: 'start'; readonly run: PlannedRun; readonly attempt: number }
  | { readonly type: 'step'; readonly run: PlannedRun; readonly step: number; readonly totalSteps: number }
  | { readonly type: 'outcome'; readonly outcome: RunOutcome };

/** Trying again does not help a wrong recipe or unusable data. */
const NOT_RETRIED = new Set<number | null>([EXIT.usage, EXIT.data]);

/**
 * Trains every run in a process of its own, `parallel` at a time. Of runs with one reference pass the first goes ahead
 * alone until it is done; the others then find its scores in the cache. The same sweep later goes on with what was
 * stopped.
 *
 * @throws UsageError `sweep-mixed` when runs turn out to be of different data or models, and what `checkRun` throws; running
 * ones stop first.
 */
export async function runSweep(sweep: RunningSweep): Promise<RunOutcome[]> {
  const { runs, parallel, checkRun, onEvent } = sweep;
  requireOneOrigin(runs);
  const unusable = new AbortController();
  const stopUnless = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      unusable.abort(error);
    }
  };
  const signal = AbortSignal.any([unusable.signal, ...(sweep.signal === undefined ? [] : [sweep.signal])]);
  const outcomes = new Map<PlannedRun, RunOutcome>();
  const settle = (outcome: RunOutcome): void => {
    outcomes.set(outcome.run, outcome);
    onEvent?.({ type: 'outcome', outcome });
  };
  let waiting = runs.filter((run) => {
    if (!new RunReader(run.path).hasReport()) return true;
    checkRun?.(run);
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
    const onPhase = (phase: unknown): void => {
      if (phase === 'train') release();
      // By now the run has said what it begins with, and little time is lost yet.
      stopUnless(() => requireOneOrigin(runs));
    };
    const outcome = await trainOne(run, { ...sweep, signal }, onPhase);
    settle(outcome);
    if (outcome.status === 'finished') stopUnless(() => checkRun?.(run));
    // A run that failed before its pass was done leaves the pass to the next one.
    if (ahead && scoring.delete(key)) wake();
  };

  while (waiting.length > 0 || active > 0) {
    const next =
      active < parallel && !signal.aborted
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
  unusable.signal.throwIfAborted();
  for (const run of waiting) settle({ run, status: 'interrupted', attempts: 0 });
  return runs.map((run) => outcomes.get(run)!);
}

type OnPhase = (phase: unknown) => void;

async function trainOne(run: PlannedRun, sweep: RunningSweep, onPhase: OnPhase): Promise<RunOutcome> {
  for (let attempt = 1; ; attempt++) {
    sweep.onEvent?.({ type: 'start', run, attempt });
    const { code, stopped, error } = await attemptRun(run, sweep, onPhase);
    if (code === EXIT.success) return { run, status: 'finished', attempts: attempt };
    if (stopped) return { run, status: 'interrupted', attempts: attempt };
    // A training that was asked to stop and could not save where it was has failed like any other.
    if (attempt > sweep.retries || NOT_RETRIED.has(code) || sweep.signal?.aborted === true) {
      return { run, status: 'failed', attempts: attempt, error };
    }
  }
}

const KEPT_LINES = 12;

interface Attempt {
  readonly code: number | null;
  /** Whether it ended because it was asked to. */
  readonly stopped: boolean;
  readonly error: string;
}

function attemptRun(
  run: PlannedRun,
  { command, threads, signal, kill, onEvent }: RunningSweep,
  onPhase: OnPhase,
): Promise<Attempt> {
  const [program, ...first] = command;
  // A group of its own, which Ctrl-C in the terminal does not reach, and a pipe that ends when this process does,
  // however it does: nothing may go on training that no sweep knows of.
  const child = spawn(program!, [...first, ...run.args], {
    stdio: 'pipe',
    detached: true,
    env: {
      ...process.env,
      OMP_NUM_THREADS: String(threads),
      MKL_NUM_THREADS: String(threads),
      [STOP_WITH_STDIN]: '1',
    },
  });
  mkdirSync(dirname(run.log), { recursive: true });
  const lastLines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    appendFileSync(run.log, `${line}\n`);
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = parseEvent(line);
    if (event?.event === 'phase') onPhase(event.phase);
    if (event?.event === 'step') {
      onEvent?.({ type: 'step', run, step: Number(event.step), totalSteps: Number(event.totalSteps) });
    }
  });
  // Unlike a signal, this counts once, also where whoever stops the sweep sends one to every process of it.
  const stop = (): void => void child.stdin.destroy();
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  signal?.addEventListener('abort', stop, { once: true });
  kill?.addEventListener('abort', killGroup, { once: true });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, stopped: false, error: error.message }));
    child.on('close', (code, killed) => {
      signal?.removeEventListener('abort', stop);
      kill?.removeEventListener('abort', killGroup);
      const words = lastWords(lastLines);
      resolve({
        code,
        // By the signal itself where it came before the training listened for it.
        stopped: code === EXIT.interrupted || STOPPING.some((name) => name === killed),
        error: killed === null ? words : `killed by ${killed}\n${words}`.trim(),
      });
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
