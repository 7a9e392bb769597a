// Builds the native addon against the engine, when its sources or the engine changed.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { findEngine } from './engine.mjs';
import { buildTools } from './platform.mjs';
import { filesUnder, hashOf, run, SetupError, say, seconds } from './tools.mjs';

/** Builds what is out of step; returns what was done, or undefined for nothing. */
export async function buildAddon(root) {
  const build = join(root, 'build');
  const record = join(build, 'engine.json');
  const sources = filesUnder(join(root, 'native'));

  const before = readRecord(record);
  const stampOf = (engine) =>
    hashOf(root, sources, engine.torch, engine.torchVersion, `${process.platform}-${process.arch}`);
  const addon = join(build, 'mallows.node');
  const engine = await findEngine(before);
  if (existsSync(addon) && before?.stamp === stampOf(engine)) {
    if (loadFailure(addon) === undefined) {
      if (before.named !== engine.named) writeRecord(record, engine, before.stamp);
      return undefined;
    }
    // What it was linked against changed under the same version. Who is told to run set-up must not be told in vain.
    say('  the native addon does not load any more: building it anew');
    rmSync(join(build, 'cmake'), { recursive: true, force: true });
  }

  say(`  engine: PyTorch ${engine.torchVersion} in ${engine.torch}`);
  const start = performance.now();
  await compile(root, build, engine);
  const next = join(build, 'mallows.next.node');
  copyFileSync(join(build, 'cmake', 'mallows.node'), next);
  checkLoads(next);
  // Renamed into place, so that a process that has the old one loaded keeps it.
  renameSync(next, addon);
  writeRecord(record, engine, stampOf(engine));
  return `built the native addon in ${seconds(start)}`;
}

function writeRecord(file, engine, stamp) {
  writeFileSync(file, `${JSON.stringify({ ...engine, stamp }, null, 2)}\n`);
}

function readRecord(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined; // absent or damaged: build anew
  }
}

async function compile(root, build, engine) {
  const generator = buildTools();
  const folder = join(build, 'cmake');
  const headers = dirname(createRequire(join(root, 'package.json')).resolve('node-api-headers/package.json'));
  const version = `MALLOWS_TORCH_VERSION:STRING=${engine.torchVersion}`;
  const settings = [
    '--no-warn-unused-cli', // the version is for the comparison below
    `-D${version}`,
    `-DMALLOWS_TORCH_DIR=${engine.torch}`,
    `-DMALLOWS_NODE_HEADERS=${join(headers, 'include')}`,
  ];
  // CMake refuses to change generators, and headers exchanged in place need not be newer than what was built of others.
  const kept = [`CMAKE_GENERATOR:INTERNAL=${generator}\n`, `${version}\n`];
  const cached = readCache(join(folder, 'CMakeCache.txt'));
  if (cached !== undefined && !kept.every((line) => cached.includes(line))) {
    rmSync(folder, { recursive: true, force: true });
  }
  mkdirSync(folder, { recursive: true });
  const hint = 'The message above is CMake’s or the compiler’s. Delete the folder build/ and try again.';
  say('  building the native addon (about half a minute)');
  await run('cmake', ['-S', join(root, 'native'), '-B', folder, '-G', generator, ...settings], {
    what: 'configuring the native addon',
    hint,
  });
  await run('cmake', ['--build', folder], {
    what: 'building the native addon',
    hint,
  });
}

function readCache(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function checkLoads(file) {
  const failure = loadFailure(file);
  if (failure === undefined) return;
  throw new SetupError(
    `the native addon was built but does not load (${failure.ending})`,
    'A library that the message above names is missing or damaged: reinstall that PyTorch, or delete the cache and run set-up again.',
    failure.details,
  );
}

/** Loads the addon in a process of its own, so that a crash is a message. */
function loadFailure(file) {
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ['-e', `require(${JSON.stringify(file)}).host()`],
    {
      encoding: 'utf8',
    },
  );
  return status === 0 ? undefined : { ending: signal ?? `exit code ${status}`, details: stderr.trim() };
}
