import { readFileSync, renameSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { UsageError } from '../errors.ts';
import { createExclusive } from './files.ts';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one with the same number, where the system says when it began. */
  readonly began: string;
}

/**
 * One trainer a run. A lock left by a process that is gone (killed, crashed) is taken over; one held by a living
 * process, or by another machine that shares the disk, is not. No heartbeat tells these apart: a training step holds the
 * event loop, sometimes for minutes.
 */
export class RunLock {
  readonly path: string;
  readonly #content: string;

  private constructor(path: string, content: string) {
    this.path = path;
    this.#content = content;
  }

  static acquire(path: string): RunLock {
    const me: Holder = { pid: process.pid, host: hostname(), began: processBegan(process.pid) };
    const content = JSON.stringify(me);
    for (let attempt = 0; attempt < 3; attempt++) {
      if (createExclusive(path, content)) return new RunLock(path, content);
      const seen = readIfThere(path);
      if (seen === undefined) continue;
      const holder = parseHolder(seen);
      const state = holder === undefined ? 'gone' : stateOf(holder);
      if (holder !== undefined && state !== 'gone') throw locked(path, holder, state);
      removeIfUnchanged(path, seen);
    }
    throw new UsageError('run-locked', `Another process keeps taking the lock ${path}.`, {
      hint: 'Choose another output directory.',
    });
  }

  release(): void {
    if (readIfThere(this.path) === this.#content) rmSync(this.path, { force: true });
  }
}

function locked(path: string, { pid, host }: Holder, state: 'alive' | 'unknown'): UsageError {
  if (state === 'alive') {
    return new UsageError(
      'run-locked',
      `Process ${pid} on ${host} is training in this run directory (${path}).`,
      { hint: 'Wait for it or stop it, or choose another output directory.' },
    );
  }
  return new UsageError(
    'run-locked',
    `Process ${pid} on ${host} took the lock ${path}. Whether it still runs cannot be told from here (${hostname()}).`,
    {
      hint: `If it is gone, as after a container's restart, delete ${path} and try again; else wait for it, or choose another output directory.`,
    },
  );
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    if (typeof value.pid === 'number' && typeof value.host === 'string' && typeof value.began === 'string') {
      return { pid: value.pid, host: value.host, began: value.began };
    }
  } catch {
    // Torn by a kill between creation and writing, on a disk without hard links: nobody holds it.
  }
  return undefined;
}

function stateOf({ pid, host, began }: Holder): 'alive' | 'gone' | 'unknown' {
  if (host !== hostname()) return 'unknown';
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'gone';
  }
  // A process with this number runs: the same one, or a later one?
  const now = processBegan(pid);
  if (now === '' || began === '') return 'unknown';
  return now === began ? 'alive' : 'gone';
}

/** The kernel's start time of a process, where /proc has it. */
function processBegan(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the command's name (field 2) may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** Two processes may find the same stale lock: the rename lets one of them have it, and a fresh lock is put back. */
function removeIfUnchanged(path: string, seen: string): void {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (readFileSync(aside, 'utf8') !== seen) renameSync(aside, path);
  else rmSync(aside, { force: true });
}
