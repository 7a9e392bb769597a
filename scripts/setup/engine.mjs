// Finds libtorch on the machine, or fetches the pinned wheel into a cache that all checkouts share.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { missing } from './platform.mjs';
import { filesUnder, locked, megabytes, query, run, SetupError, say, seconds } from './tools.mjs';
import { isTested, keptPaths, pinFor, testedRange, torchVersion } from './wheels.mjs';

/** @typedef {{ torch: string, torchVersion: string, source: 'existing' | 'fetched', named?: true }} Engine */

const library = process.platform === 'darwin' ? 'libtorch_cpu.dylib' : 'libtorch_cpu.so';
const bytesNeeded = 1.7e9; // the wheels and what is kept of them, for the time that both are there

/**
 * The engine that `MALLOWS_TORCH` leads to, else the one that an earlier set-up recorded, else one that is installed or
 * fetched.
 *
 * @param {Engine | undefined} recorded
 * @returns {Promise<Engine>}
 */
export async function findEngine(recorded) {
  const found = requestedEngine() ?? recordedEngine(recorded) ?? installedEngine();
  if (found !== undefined) return found;
  if (query('nvidia-smi', ['-L']) !== undefined) {
    say(
      `  an NVIDIA GPU is here, but the engine that is fetched computes on the CPU. To use it: pip install torch==${torchVersion}, then run set-up with MALLOWS_TORCH=python3`,
    );
  }
  return fetchedEngine();
}

/** An engine found earlier that will still do, with the version that it has by now. */
function recordedEngine(recorded) {
  if (!recorded || !isUsable(recorded.torch)) return undefined;
  // Recorded under the pin's version, which lacks the build's suffix; nothing changes it in place.
  if (recorded.source === 'fetched') return recorded.torchVersion === torchVersion ? recorded : undefined;
  const version = readVersion(recorded.torch);
  if (version === undefined || !(recorded.named || isTested(version))) return undefined;
  return { ...recorded, torchVersion: version };
}

function isUsable(torch) {
  return existsSync(join(torch, 'lib', library)) && existsSync(join(torch, 'include', 'ATen'));
}

function requestedEngine() {
  const request = process.env.MALLOWS_TORCH;
  if (!request) return undefined;
  const found = requestedTorch(request);
  if (found === undefined || !isUsable(found)) {
    throw new SetupError(
      `MALLOWS_TORCH=${request} leads to no PyTorch with lib/${library} and include/`,
      'Point it at the torch folder in site-packages or at a python executable that imports torch, or unset it.',
    );
  }
  const version = versionOf(found);
  if (!isTested(version)) {
    say(
      `  warning: PyTorch ${version} is outside the tested range ${testedRange}; used because MALLOWS_TORCH names it`,
    );
  }
  return { torch: found, torchVersion: version, source: 'existing', named: true };
}

/** `MALLOWS_TORCH`: a folder named torch, the site-packages around it, or a Python that imports torch. */
function requestedTorch(request) {
  if (!isFolder(request)) return torchOf(request);
  return [request, join(request, 'torch')].map((folder) => resolve(folder)).find(isUsable);
}

function installedEngine() {
  const found = torchOf('python3');
  if (found === undefined || !isUsable(found)) return undefined;
  const version = versionOf(found);
  if (isTested(version)) return { torch: found, torchVersion: version, source: 'existing' };
  say(
    `  python3 has PyTorch ${version}, outside the tested range ${testedRange}: fetching ${torchVersion} instead`,
  );
  return undefined;
}

/** The torch package that a Python would import, without importing it, which takes seconds. */
function torchOf(python) {
  const code =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')";
  const origin = query(python, ['-c', code]);
  return origin ? resolve(origin, '..') : undefined;
}

function versionOf(torch) {
  const version = readVersion(torch);
  if (version === undefined)
    throw new SetupError(`${torch}/version.py names no version`, 'Reinstall that PyTorch.');
  return version;
}

function readVersion(torch) {
  const file = join(torch, 'version.py');
  return existsSync(file) ? /__version__ = '([^']+)'/.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
}

export function cacheFolder() {
  if (process.env.MALLOWS_CACHE) return resolve(process.env.MALLOWS_CACHE);
  const fallback =
    process.platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : join(homedir(), '.cache');
  return join(process.env.XDG_CACHE_HOME || fallback, 'mallows');
}

async function fetchedEngine() {
  const cache = cacheFolder();
  const target = join(cache, 'engine', `torch-${torchVersion}-${process.platform}-${process.arch}`);
  const engine = { torch: join(target, 'torch'), torchVersion, source: 'fetched' };
  if (isUsable(engine.torch)) return engine;
  checkPip();
  await locked(join(cache, 'engine.lock'), async () => {
    if (isUsable(engine.torch)) return; // another set-up fetched it while this one waited
    // Under the lock, what an interrupted fetch left behind belongs to nobody.
    for (const name of readdirSync(cache)) {
      if (name.startsWith('fetch-')) rmSync(join(cache, name), { recursive: true, force: true });
    }
    checkSpace(cache);
    const work = mkdtempSync(join(cache, 'fetch-'));
    try {
      await fetchInto(work, target);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
  return engine;
}

/** Nothing appears under `target` before it is complete: a folder is renamed into place at the end. */
async function fetchInto(work, target) {
  const pin = pinFor();
  const requirements = join(work, 'requirements.txt');
  const downloads = join(work, 'wheels');
  writeFileSync(requirements, `${pin.requirements.join('\n')}\n`);
  say(
    `  fetching PyTorch ${torchVersion} with pip (about ${process.platform === 'darwin' ? '80' : '545'} MB, checked by SHA-256)`,
  );
  let start = performance.now();
  await run(
    'python3',
    [
      '-m',
      'pip',
      'download',
      '--no-deps',
      '--require-hashes',
      '--only-binary=:all:',
      '--disable-pip-version-check',
    ]
      .concat(pin.tags.flatMap((tag) => ['--platform', tag]))
      .concat([
        '--python-version',
        '3.12',
        '--implementation',
        'cp',
        '--dest',
        downloads,
        '--requirement',
        requirements,
      ]),
    {
      what: 'downloading PyTorch',
      hint: 'Check the network and pip’s index settings, or point MALLOWS_TORCH at a PyTorch that is on this machine.',
      live: process.stderr.isTTY,
    },
  );
  const wheels = filesUnder(downloads);
  say(`  downloaded ${megabytes(sizeOf(wheels))} in ${seconds(start)}`);

  start = performance.now();
  const unpacked = join(work, 'unpacked');
  const code = `
import re, sys, zipfile
kept = re.compile(sys.argv[1])
for path in sys.argv[3:]:
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if kept.fullmatch(name)])
`;
  await run('python3', ['-c', code, keptPaths, unpacked, ...wheels], {
    what: 'unpacking PyTorch',
    hint: 'Check the free space on the cache’s disk, then run set-up again.',
  });
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, '..'), { recursive: true });
  renameSync(unpacked, target);
  say(`  kept ${megabytes(sizeOf(filesUnder(target)))} of it in ${target} (${seconds(start)})`);
}

function checkPip() {
  if (query('python3', ['--version']) === undefined) {
    throw missing(
      'python',
      'python3 is missing: its pip downloads PyTorch, the engine (or set MALLOWS_TORCH)',
    );
  }
  if (query('python3', ['-m', 'pip', '--version']) === undefined) {
    throw missing('pip', 'python3 has no pip, which downloads PyTorch, the engine (or set MALLOWS_TORCH)');
  }
}

function checkSpace(folder) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < bytesNeeded) {
    throw new SetupError(
      `${folder} has ${megabytes(bavail * bsize)} free; fetching PyTorch takes ${megabytes(bytesNeeded)} for a while`,
      'Make room, or set MALLOWS_CACHE to a folder on another disk.',
    );
  }
}

const sizeOf = (files) => files.reduce((sum, file) => sum + statSync(file).size, 0);

const isFolder = (path) => existsSync(path) && statSync(path).isDirectory() && basename(path) !== '';
