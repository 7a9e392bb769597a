// What the steps of set-up share: messages, commands, hashes, locks.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A problem that the user can solve; `hint` says how. */
export class SetupError extends Error {
  constructor(message, hint, details = '') {
    super(message);
    this.name = 'SetupError';
    this.hint = hint;
    this.details = details;
  }
}

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs a command and returns its output, or undefined when it is missing or fails. */
export function query(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : undefined;
}

/** Runs a command to its end. Its output is shown when `live`, and otherwise only if it fails. */
export async function run(command, args, { cwd, what, hint, live = false }) {
  const child = spawn(command, args, { cwd, stdio: live ? ['ignore', 2, 2] : ['ignore', 'pipe', 'pipe'] });
  const output = [];
  child.stdout?.on('data', (chunk) => output.push(chunk));
  child.stderr?.on('data', (chunk) => output.push(chunk));
  const status = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  if (status === 0) return;
  const text = Buffer.concat(output).toString('utf8').trimEnd();
  throw new SetupError(`${what} failed (${command} ended with ${status})`, hint, lastLines(text, 60));
}

function lastLines(text, count) {
  const lines = text.split('\n');
  return lines.length <= count ? text : `…\n${lines.slice(-count).join('\n')}`;
}

/** Every file under a folder, as sorted paths. */
export function filesUnder(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** One hash over files (names and contents) and further strings. */
export function hashOf(root, files, ...extra) {
  const hash = createHash('sha256');
  for (const file of files) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  for (const text of extra) hash.update(`${text}\0`);
  return hash.digest('hex');
}

/**
 * Runs `body` while no other process runs under the same lock file. A lock left by a process that is gone (killed,
 * crashed) is taken over; one held by a living process, or by another machine or container that shares the disk, is
 * waited for.
 */
export async function locked(file, body) {
  mkdirSync(dirname(file), { recursive: true });
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), began: processBegan(process.pid) });
  let announced;
  while (!acquire(file, mine)) {
    const seen = readIfThere(file);
    if (seen !== undefined && seen !== announced) {
      say(waitingText(file, seen));
      announced = seen;
    }
    await sleep(500);
  }
  try {
    return await body();
  } finally {
    release(file, mine);
  }
}

function waitingText(file, content) {
  const holder = parseHolder(content);
  const waiting = '  waiting for another set-up';
  switch (stateOf(holder)) {
    case 'gone':
      return `${waiting}, which takes ${file} over`;
    case 'alive':
      return `${waiting} (process ${holder.pid}, ${file})`;
    default:
      return `${waiting} (process ${holder.pid} on ${holder.host}). Whether it still runs cannot be told from here (${hostname()}): if it does not, as after a container’s end, delete ${file}`;
  }
}

/**
 * Takes the lock or returns false. Several processes may find the same stale lock, and whoever is slow must not remove
 * the fresh one of whoever is quick: it is removed under a lock of its own, and only if it is still the stale one.
 */
function acquire(file, mine) {
  if (createExclusive(file, mine)) return true;
  const seen = readIfThere(file);
  if (seen === undefined || stateOf(parseHolder(seen)) !== 'gone') return false;
  const guard = `${file}.stale`;
  if (!acquire(guard, mine)) return false;
  try {
    if (readIfThere(file) === seen) rmSync(file, { force: true });
  } finally {
    release(guard, mine);
  }
  return createExclusive(file, mine);
}

/** A lock that somebody deleted by hand may be another's by now. */
function release(file, mine) {
  if (readIfThere(file) === mine) rmSync(file, { force: true });
}

/** What disks without hard links (exFAT, many network and FUSE mounts) answer to one. */
const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/**
 * Creates a file that must not exist; false when it does. It appears with its content, as whoever finds it empty could
 * not tell a file that is being written from one whose writer was killed.
 */
function createExclusive(file, content) {
  const temporary = `${file}.new-${randomUUID()}`; // not the process’s number: every container has a process 1
  try {
    writeFileSync(temporary, content, { flag: 'wx' });
    try {
      linkSync(temporary, file);
    } catch (error) {
      if (!noLinks.includes(error.code)) throw error;
      writeFileSync(file, content, { flag: 'wx' });
    }
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined for what no set-up holds: torn by a kill on a disk without hard links, or of a version that wrote a bare number. */
function parseHolder(content) {
  try {
    const { pid, host, began } = JSON.parse(content);
    if (pid > 0 && typeof host === 'string' && typeof began === 'string') return { pid, host, began };
  } catch {
    // not JSON
  }
  return undefined;
}

function stateOf(holder) {
  if (holder === undefined) return 'gone';
  const { pid, host, began } = holder;
  if (host !== hostname()) return 'unknown';
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return 'gone';
  }
  // A process with this number runs: the same one, or a later one? In containers, numbers repeat soon.
  const now = processBegan(pid);
  if (now === '' || began === '') return 'unknown';
  return now === began ? 'alive' : 'gone';
}

/** The kernel's start time of a process, where /proc has it. */
function processBegan(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the command's name (field 2) may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

export function megabytes(bytes) {
  return `${Math.round(bytes / 1e6)} MB`;
}

export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
