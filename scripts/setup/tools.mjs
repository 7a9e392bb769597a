// What the steps of set-up share: messages, commands, hashes, locks.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
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

/** Runs `body` while no other process on this machine runs under the same lock file. */
export async function locked(file, body) {
  mkdirSync(dirname(file), { recursive: true });
  let announced = false;
  while (!acquire(file)) {
    const owner = ownerOf(file);
    if (owner !== undefined && !isRunning(owner)) {
      rmSync(file, { force: true }); // left behind by a process that was killed
      continue;
    }
    if (!announced) say(`  waiting for another set-up (process ${owner ?? 'unknown'}, ${file})`);
    announced = true;
    await sleep(500);
  }
  try {
    return await body();
  } finally {
    rmSync(file, { force: true });
  }
}

function acquire(file) {
  try {
    const handle = openSync(file, 'wx');
    writeSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function ownerOf(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

export function megabytes(bytes) {
  return `${Math.round(bytes / 1e6)} MB`;
}

export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
