import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

// Set-up is plain JavaScript, as it runs before anything is compiled; it is tested as the program it is.
const folder = new URL('../scripts/setup/', import.meta.url);
const url = (name: string) => JSON.stringify(new URL(name, folder).href);

let work: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'mallows-setup-'));
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

/** Runs a module body in a Node of its own and returns what it prints as JSON, or the error's message and hint. */
function evaluate(body: string, environment: Record<string, string> = {}): unknown {
  const program = `
    const print = (value) => process.stdout.write(JSON.stringify(value ?? null));
    try { print(await (async () => { ${body} })()) } catch (error) { print({ message: error.message, hint: error.hint }) }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 20_000, // a set-up that waits for itself is a failure, not a test that never ends
    env: { PATH: process.env.PATH ?? '', HOME: work, ...environment },
  });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

/** A PATH on which only the named programs exist; a value is a shell script's body, null the real program. */
function pathWith(programs: Record<string, string | null>): string {
  const bin = join(work, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(programs)) {
    const file = join(bin, name);
    if (script === null) {
      const real = (process.env.PATH ?? '')
        .split(delimiter)
        .map((part) => join(part, name))
        .find(existsSync);
      symlinkSync(real!, file);
    } else {
      writeFileSync(file, `#!/bin/sh\n${script}\n`);
      chmodSync(file, 0o755);
    }
  }
  return bin;
}

/** A folder that looks like an installed PyTorch. */
function fakeTorch(version: string, environment = 'site-packages'): string {
  const library = process.platform === 'darwin' ? 'libtorch_cpu.dylib' : 'libtorch_cpu.so';
  const torch = join(work, environment, 'torch');
  mkdirSync(join(torch, 'lib'), { recursive: true });
  mkdirSync(join(torch, 'include', 'ATen'), { recursive: true });
  writeFileSync(join(torch, 'lib', library), '');
  writeFileSync(join(torch, 'version.py'), `__version__ = '${version}'\n`);
  return torch;
}

describe('the platform', () => {
  const check = (...args: string[]) =>
    evaluate(
      `const { checkPlatform } = await import(${url('platform.mjs')}); return checkPlatform(...${JSON.stringify(args)});`,
    );

  it('is refused by name where nothing can work', () => {
    expect(check('win32', 'x64', '22.0.0')).toMatchObject({ message: 'Windows is not supported' });
    expect(check('linux', 'x64', '20.18.9')).toMatchObject({
      message: expect.stringContaining('Node.js 20.18.9 is too old'),
    });
    expect(check('darwin', 'x64', '22.0.0')).toMatchObject({
      message: expect.stringContaining('darwin-x64 is not supported'),
    });
  });

  it('is accepted where libtorch comes', () => {
    for (const [platform, arch] of [
      ['linux', 'x64'],
      ['linux', 'arm64'],
      ['darwin', 'arm64'],
    ]) {
      expect(check(platform!, arch!, '20.19.0')).toBeNull();
    }
  });
});

describe('missing tools', () => {
  const toolsOn = (environment: Record<string, string>) =>
    evaluate(
      `const { buildTools } = await import(${url('platform.mjs')}); return buildTools();`,
      environment,
    );
  const tools = (programs: Record<string, string | null>) => toolsOn({ PATH: pathWith(programs) });

  it('names the package for each system', () => {
    expect(tools({})).toEqual({
      message: 'CMake is missing: it builds the native addon',
      hint: 'Debian/Ubuntu: sudo apt install cmake · Fedora: sudo dnf install cmake · macOS: brew install cmake',
    });
  });

  it('says when there is no compiler', () => {
    expect(tools({ cmake: 'exit 0' })).toMatchObject({ message: expect.stringContaining('no C++ compiler') });
  });

  it('says when the compiler is too old', () => {
    expect(tools({ cmake: 'exit 0', 'c++': 'exit 1' })).toMatchObject({
      message: expect.stringContaining('does not know C++20'),
    });
  });

  it('reads CXX as CMake does: a program with arguments, or nothing', () => {
    const ccache = 'test "$1" = g++ && test "$2" = -std=c++20';
    const PATH = pathWith({ cmake: 'exit 0', 'c++': 'exit 0', make: 'exit 0', ccache });
    expect(toolsOn({ PATH, CXX: 'ccache g++' })).toBe('Unix Makefiles');
    expect(toolsOn({ PATH, CXX: '' })).toBe('Unix Makefiles');
    expect(toolsOn({ PATH, CXX: 'icc' })).toMatchObject({
      message: expect.stringContaining('no C++ compiler (icc)'),
    });
  });

  it('takes make where ninja is missing', () => {
    expect(tools({ cmake: 'exit 0', 'c++': 'exit 0', make: 'exit 0' })).toBe('Unix Makefiles');
  });
});

describe('finding PyTorch', () => {
  const find = (environment: Record<string, string>) =>
    evaluate(`const { findEngine } = await import(${url('engine.mjs')}); return findEngine();`, environment);

  it('takes MALLOWS_TORCH as a folder, as site-packages or as a python', () => {
    const torch = fakeTorch('2.11.0+cpu');
    const found = { torch, torchVersion: '2.11.0+cpu', source: 'existing', named: true };
    expect(find({ MALLOWS_TORCH: torch })).toEqual(found);
    expect(find({ MALLOWS_TORCH: dirname(torch) })).toEqual(found);
    const bin = pathWith({ mypython: `echo ${join(torch, '__init__.py')}` });
    expect(find({ MALLOWS_TORCH: join(bin, 'mypython') })).toEqual(found);
  });

  it('refuses a MALLOWS_TORCH that leads nowhere', () => {
    expect(find({ MALLOWS_TORCH: work })).toMatchObject({
      message: expect.stringContaining('leads to no PyTorch'),
    });
  });

  it('takes what python3 imports, if it was tested, and fetches otherwise', () => {
    const torch = fakeTorch('2.11.1');
    const PATH = pathWith({
      python3: `case "$1" in -c) echo ${join(torch, '__init__.py')};; --version) exit 0;; *) exit 1;; esac`,
    });
    expect(find({ PATH })).toMatchObject({ torch, torchVersion: '2.11.1' });
    fakeTorch('2.4.0');
    expect(find({ PATH })).toEqual({
      message: 'python3 has no pip, which downloads PyTorch, the engine (or set MALLOWS_TORCH)',
      hint: expect.stringContaining('sudo apt install python3-pip'),
    });
  });

  it('says when there is no python3', () => {
    expect(find({ PATH: pathWith({}) })).toMatchObject({
      message: expect.stringContaining('python3 is missing'),
    });
  });

  it('leaves nothing behind when a download fails', () => {
    const PATH = pathWith({
      python3: 'case "$*" in *download*) echo "no network"; exit 1;; *find_spec*) exit 0;; *) exit 0;; esac',
    });
    const cache = join(work, 'cache');
    mkdirSync(join(cache, 'fetch-interrupted'), { recursive: true });
    expect(find({ PATH, MALLOWS_CACHE: cache })).toMatchObject({
      message: expect.stringContaining('downloading PyTorch failed'),
      hint: expect.stringContaining('MALLOWS_TORCH'),
    });
    expect(
      evaluate(
        `const { readdirSync } = await import('node:fs'); return readdirSync(${JSON.stringify(cache)});`,
      ),
    ).toEqual([]);
  });
});

describe('the native addon', () => {
  let root: string;
  let bin: string;
  beforeEach(() => {
    root = join(work, 'project');
    const headers = join(root, 'node_modules', 'node-api-headers');
    for (const folder of [join(root, 'native'), headers]) mkdirSync(folder, { recursive: true });
    for (const file of [join(root, 'package.json'), join(headers, 'package.json')]) writeFileSync(file, '{}');
    writeFileSync(join(root, 'native', 'addon.cc'), '');
    // Node takes the addon for JavaScript, so that no compiler is needed to make one that loads.
    writeFileSync(
      join(work, 'hook.cjs'),
      "const { _extensions } = require('node:module'); _extensions['.node'] = _extensions['.js'];",
    );
    const settings = `{ echo "CMAKE_GENERATOR:INTERNAL=$6"; for each; do echo "\${each#-D}"; done; } > "$4/CMakeCache.txt"`;
    bin = pathWith({
      cmake: `case "$1" in -S) ${settings};; --build) echo 'exports.host = () => 0;' > "$2/mallows.node";; esac`,
      'c++': 'exit 0',
      make: 'exit 0',
      // As long as no virtual environment is active, python3 has the first PyTorch.
      python3: `case "$1" in -c) read origin < ${join(work, 'origin')}; echo "$origin";; --version) exit 0;; *) exit 1;; esac`,
    });
  });

  const activate = (torch: string) => writeFileSync(join(work, 'origin'), `${join(torch, '__init__.py')}\n`);
  const build = (environment: Record<string, string> = {}) =>
    evaluate(
      `const { buildAddon } = await import(${url('addon.mjs')}); return (await buildAddon(${JSON.stringify(root)})) ?? 'in step';`,
      { PATH: bin, NODE_OPTIONS: `--require ${join(work, 'hook.cjs')}`, ...environment },
    );
  const built = expect.stringMatching(/^built the native addon/);
  const inBuild = (...path: string[]) => join(root, 'build', ...path);
  const record = () => JSON.parse(readFileSync(inBuild('engine.json'), 'utf8')) as Record<string, string>;

  it('is built once', () => {
    activate(fakeTorch('2.11.0+cpu'));
    expect(build()).toEqual(built);
    expect(build()).toBe('in step');
    writeFileSync(join(root, 'native', 'addon.cc'), '// changed');
    writeFileSync(inBuild('cmake', 'addon.o'), '');
    expect(build()).toEqual(built);
    expect(existsSync(inBuild('cmake', 'addon.o')), 'what did not change is kept').toBe(true);
  });

  it('is built anew, from nothing, when its PyTorch was upgraded in place', () => {
    activate(fakeTorch('2.11.0+cpu'));
    expect(build()).toEqual(built);
    writeFileSync(inBuild('cmake', 'addon.o'), '');
    fakeTorch('2.11.1+cpu');
    expect(build()).toEqual(built);
    expect(record()).toMatchObject({ torchVersion: '2.11.1+cpu', source: 'existing' });
    expect(existsSync(inBuild('cmake', 'addon.o'))).toBe(false);
    expect(build()).toBe('in step');
  });

  it('is not kept on a PyTorch that was upgraded out of the tested range', () => {
    activate(fakeTorch('2.11.0'));
    expect(build()).toEqual(built);
    fakeTorch('2.12.0');
    expect(build()).toMatchObject({ message: expect.stringContaining('python3 has no pip') });
  });

  it('follows MALLOWS_TORCH where it leads by now', () => {
    const [first, second] = [fakeTorch('2.11.0', 'first'), fakeTorch('2.11.0', 'second')];
    const python = { MALLOWS_TORCH: 'python3' };
    activate(first);
    expect(build(python)).toEqual(built);
    expect(build(python)).toBe('in step');
    activate(second);
    expect(build(python)).toEqual(built);
    expect(record().torch).toBe(second);
    expect(build({ MALLOWS_TORCH: dirname(first) })).toEqual(built);
    expect(build({ MALLOWS_TORCH: dirname(first) })).toBe('in step');
    rmSync(first, { recursive: true });
    expect(build({ MALLOWS_TORCH: dirname(first) })).toMatchObject({
      message: expect.stringContaining('leads to no PyTorch'),
    });
  });

  it('stays on the PyTorch that MALLOWS_TORCH named when the variable is unset again', () => {
    const [installed, named] = [fakeTorch('2.11.0', 'installed'), fakeTorch('2.11.0+cu130', 'named')];
    activate(installed);
    expect(build({ MALLOWS_TORCH: named })).toEqual(built);
    expect(build()).toBe('in step');
    // Also where it is outside the tested range, which was said when it was named.
    fakeTorch('2.12.0+cu130', 'named');
    expect(build()).toEqual(built);
    expect(record()).toMatchObject({ torch: named, torchVersion: '2.12.0+cu130' });
    expect(build({ MALLOWS_TORCH: 'python3' })).toEqual(built);
    expect(record().torch).toBe(installed);
    expect(build()).toBe('in step');
  });

  it('is built anew, from nothing, when it does not load', () => {
    activate(fakeTorch('2.11.0'));
    expect(build()).toEqual(built);
    writeFileSync(inBuild('mallows.node'), "throw new Error('undefined symbol');");
    writeFileSync(inBuild('cmake', 'addon.o'), '');
    expect(build()).toEqual(built);
    expect(existsSync(inBuild('cmake', 'addon.o'))).toBe(false);
    expect(build()).toBe('in step');
  });

  it('stays in step with a fetched PyTorch, whose own version has a suffix', () => {
    const { torchVersion } = evaluate(`return await import(${url('wheels.mjs')});`) as {
      torchVersion: string;
    };
    const name = `torch-${torchVersion}-${process.platform}-${process.arch}`;
    fakeTorch(`${torchVersion}+cu130`, join('cache', 'engine', name));
    writeFileSync(join(work, 'origin'), '\n');
    const environment = { MALLOWS_CACHE: join(work, 'cache') };
    expect(build(environment)).toEqual(built);
    expect(record()).toMatchObject({ torchVersion, source: 'fetched' });
    expect(build(environment)).toBe('in step');
    const other = fakeTorch(torchVersion, 'other');
    expect(build({ ...environment, MALLOWS_TORCH: other })).toEqual(built);
    expect(record()).toMatchObject({ torch: other, source: 'existing' });
  });
});

describe('what is kept of the wheels', () => {
  const kept = (paths: string[]) =>
    evaluate(`const { keptPaths } = await import(${url('wheels.mjs')}); const kept = new RegExp('^(?:' + keptPaths + ')$');
      return ${JSON.stringify(paths)}.filter((path) => kept.test(path));`);

  it('is what the CPU half and its headers need, and licences', () => {
    const needed = [
      'torch/version.py',
      'torch/include/ATen/ATen.h',
      'torch/lib/libtorch_cpu.so',
      'torch/lib/libc10.so',
      'torch/lib/libgomp.so.1',
      'torch/lib/libomp.dylib',
      'torch.libs/libopenblasp-1234.so',
      'torch-2.11.0.dist-info/licenses/LICENSE',
      'nvidia/cu13/lib/libcudart.so.13',
      'nvidia/cu13/lib/libcupti.so.13',
    ];
    const left = [
      'torch/lib/libtorch_cuda.so',
      'torch/lib/libc10_cuda.so',
      'torch/lib/libtorch_python.so',
      'torch/lib/libtorch.so',
      'torch/nn/modules.py',
      'nvidia/cu13/include/cuda.h',
      'nvidia/cu13/lib/libcudart_static.a',
    ];
    expect(kept([...needed, ...left])).toEqual(needed);
  });
});

describe('locks', () => {
  const locked = (file: string, body: string) =>
    evaluate(
      `const { locked } = await import(${url('tools.mjs')}); return locked(${JSON.stringify(file)}, async () => { ${body} });`,
    );

  it('are taken over from a process that is gone, and given back after a failure', () => {
    const file = join(work, 'deep', 'test.lock');
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    mkdirSync(dirname(file));
    writeFileSync(file, String(pid));
    expect(locked(file, 'return 1;')).toBe(1);
    expect(locked(file, "throw new Error('stop');")).toMatchObject({ message: 'stop' });
    expect(existsSync(file)).toBe(false);
  });

  const holder = (pid: number, host = hostname(), began = '1') => JSON.stringify({ pid, host, began });

  it('are taken over from a process whose number another one has by now, such as this one', () => {
    const file = join(work, 'test.lock');
    const withLock = (content: string) => `
      const { readFileSync, writeFileSync } = await import('node:fs');
      const { locked } = await import(${url('tools.mjs')});
      writeFileSync(${JSON.stringify(file)}, ${content});
      return locked(${JSON.stringify(file)}, async () => JSON.parse(readFileSync(${JSON.stringify(file)}, 'utf8')).pid === process.pid);`;
    expect(evaluate(withLock('String(process.pid)')), 'as older versions wrote it').toBe(true);
    // Where a process's start is not known, it may be the holder.
    if (process.platform !== 'linux') return;
    const reused = `JSON.stringify({ pid: process.pid, host: ${JSON.stringify(hostname())}, began: '1' })`;
    expect(evaluate(withLock(reused))).toBe(true);
    expect(readdirSync(work)).toEqual([]);
  });

  it('are waited for when another host has them, with the name of the file to delete', async () => {
    const file = join(work, 'test.lock');
    const held = holder(1, 'elsewhere');
    writeFileSync(file, held);
    const program = `const { locked } = await import(${url('tools.mjs')}); await locked(${JSON.stringify(file)}, async () => console.log('in'));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
    try {
      const [said] = (await once(child.stderr, 'data')) as [Buffer];
      expect(said.toString()).toContain(`process 1 on elsewhere`);
      expect(said.toString()).toContain(`delete ${file}`);
      expect(readFileSync(file, 'utf8')).toBe(held);
      rmSync(file);
      const [output] = (await once(child.stdout, 'data')) as [Buffer];
      expect(output.toString()).toBe('in\n');
      await once(child, 'close');
      expect(readdirSync(work)).toEqual([]);
    } finally {
      child.kill();
    }
  });

  it.each([
    ['', (pid: number) => holder(pid)],
    [', an older version’s', String],
  ])('are not taken from whoever took over the same stale one first%s', (_, stale) => {
    const file = join(work, 'test.lock');
    writeFileSync(file, stale(spawnSync(process.execPath, ['-e', '']).pid!));
    const fresh = holder(process.pid, 'elsewhere');
    // Another process takes the lock over between this one's look at it and what it does about it.
    const outcome = evaluate(`
      const fs = (await import('node:fs')).default;
      const { syncBuiltinESMExports } = await import('node:module');
      const [file, fresh] = ${JSON.stringify([file, fresh])};
      const read = fs.readFileSync;
      fs.readFileSync = (path, ...rest) => {
        const content = read(path, ...rest);
        if (path === file) {
          fs.readFileSync = read;
          syncBuiltinESMExports();
          fs.writeFileSync(file, fresh);
        }
        return content;
      };
      syncBuiltinESMExports();
      const { locked } = await import(${url('tools.mjs')});
      let left = 'nothing';
      setTimeout(() => {
        left = fs.existsSync(file) ? read(file, 'utf8') : 'nothing';
        fs.rmSync(file, { force: true });
      }, 300);
      return locked(file, async () => left);`);
    expect(outcome).toBe(fresh);
  });

  it('are left alone at the end when another process has them by then', () => {
    const file = join(work, 'test.lock');
    const other = holder(1, 'elsewhere');
    const steal = `(await import('node:fs')).writeFileSync(${JSON.stringify(file)}, ${JSON.stringify(other)}); return 1;`;
    expect(locked(file, steal)).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe(other);
  });

  it('let one process in at a time, also when the lock they find is stale', () => {
    const [file, log] = [join(work, 'test.lock'), join(work, 'log')];
    const tools = fileURLToPath(new URL('tools.mjs', folder));
    const program = `
      import { appendFileSync } from 'node:fs';
      import { setTimeout as sleep } from 'node:timers/promises';
      import { locked } from ${JSON.stringify(tools)};
      setTimeout(() => process.exit(1), 20_000).unref(); // instead of waiting for ever
      await locked(${JSON.stringify(file)}, async () => {
        appendFileSync(${JSON.stringify(log)}, 'in ');
        await sleep(100);
        appendFileSync(${JSON.stringify(log)}, 'out ');
      });`;
    const script = join(work, 'contender.mjs');
    writeFileSync(script, program);
    writeFileSync(file, holder(spawnSync(process.execPath, ['-e', '']).pid!));
    spawnSync('sh', ['-c', `"$0" "$1" & "$0" "$1" & "$0" "$1" & wait`, process.execPath, script], {
      stdio: 'ignore',
    });
    expect(evaluate(`return (await import('node:fs')).readFileSync(${JSON.stringify(log)}, 'utf8');`)).toBe(
      'in out in out in out ',
    );
  });
});

describe('npm packages', () => {
  const install = (root: string, npm: string) =>
    evaluate(
      `const { installPackages } = await import(${url('packages.mjs')}); return (await installPackages(${JSON.stringify(root)})) ?? 'nothing';`,
      {
        PATH: `${pathWith({ npm })}${delimiter}${process.env.PATH}`,
      },
    );
  const lock = (packages: object) => JSON.stringify({ packages });

  function project(wanted: object, installed?: object): string {
    const root = join(work, 'project');
    mkdirSync(join(root, 'node_modules'), { recursive: true });
    writeFileSync(join(root, 'package-lock.json'), lock({ '': {}, ...wanted }));
    if (installed) writeFileSync(join(root, 'node_modules', '.package-lock.json'), lock(installed));
    return root;
  }

  it('are left alone when they match the lock file, optional ones aside', () => {
    const root = project(
      {
        'node_modules/a': { version: '1.0.0' },
        'node_modules/mac-only': { version: '1.0.0', optional: true },
      },
      { 'node_modules/a': { version: '1.0.0' } },
    );
    expect(install(root, 'exit 1')).toBe('nothing');
    expect(existsSync(join(root, 'node_modules', '.bin'))).toBe(true);
  });

  it.each([
    ['another version is installed', { 'node_modules/a': { version: '0.9.0' } }],
    ['one is missing', {}],
    ['nothing is installed', undefined],
  ])('are installed when %s', (_, installed) => {
    const root = project({ 'node_modules/a': { version: '1.0.0' } }, installed);
    expect(install(root, 'exit 0')).toMatch(/^installed npm packages in/);
  });

  it('say what failed', () => {
    expect(install(project({ 'node_modules/a': { version: '1.0.0' } }), 'echo E404; exit 1')).toMatchObject({
      message: expect.stringContaining('installing npm packages failed'),
      hint: expect.stringContaining('registry'),
    });
  });
});
