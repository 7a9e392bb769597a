// Where the toolkit runs, and the tools that building it takes.
import { spawnSync } from 'node:child_process';
import { query, SetupError } from './tools.mjs';

const oldestNode = [20, 19];
const supported = ['linux-x64', 'linux-arm64', 'darwin-arm64'];

/** Refuses what cannot work, before anything is downloaded. */
export function checkPlatform(
  platform = process.platform,
  arch = process.arch,
  version = process.versions.node,
) {
  const [major, minor] = version.split('.').map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    throw new SetupError(
      `Node.js ${version} is too old: ${oldestNode.join('.')} or newer is needed`,
      'Install a current Node.js, from nodejs.org or your package manager.',
    );
  }
  if (platform === 'win32') {
    throw new SetupError('Windows is not supported', 'Use WSL 2 with Ubuntu: it counts as Linux x64.');
  }
  if (!supported.includes(`${platform}-${arch}`)) {
    throw new SetupError(
      `${platform}-${arch} is not supported: libtorch comes for ${supported.join(', ')}`,
      'Use one of those machines.',
    );
  }
}

/** Package names by system, for tools that are missing. */
const packages = {
  cmake: { debian: 'cmake', fedora: 'cmake', mac: 'brew install cmake' },
  compiler: { debian: 'build-essential', fedora: 'gcc-c++ make', mac: 'xcode-select --install' },
  make: { debian: 'build-essential', fedora: 'make', mac: 'xcode-select --install' },
  python: { debian: 'python3 python3-pip', fedora: 'python3 python3-pip', mac: 'brew install python' },
  pip: { debian: 'python3-pip', fedora: 'python3-pip', mac: 'python3 -m ensurepip --upgrade' },
};

export function missing(tool, why) {
  const { debian, fedora, mac } = packages[tool];
  return new SetupError(
    why,
    `Debian/Ubuntu: sudo apt install ${debian} · Fedora: sudo dnf install ${fedora} · macOS: ${mac}`,
  );
}

/** Checks for CMake, a C++20 compiler and a build tool; says which generator CMake should use. */
export function buildTools() {
  if (query('cmake', ['--version']) === undefined)
    throw missing('cmake', 'CMake is missing: it builds the native addon');
  // As CMake reads it: a program, perhaps with arguments (`ccache g++`); empty is unset.
  const compiler = process.env.CXX?.trim() || 'c++';
  const [program, ...words] = compiler.split(/\s+/);
  const probe = spawnSync(program, [...words, '-std=c++20', '-fsyntax-only', '-x', 'c++', '-'], {
    input: '#include <concepts>\n#include <span>\nstatic_assert(std::integral<int>);\n',
    encoding: 'utf8',
  });
  if (probe.error?.code === 'ENOENT')
    throw missing('compiler', `there is no C++ compiler (${compiler}): it builds the native addon`);
  if (probe.status !== 0) {
    throw missing(
      'compiler',
      `the C++ compiler (${compiler}) does not know C++20: GCC 11 or Clang 14 is needed`,
    );
  }
  if (query('ninja', ['--version']) !== undefined) return 'Ninja';
  if (query('make', ['--version']) === undefined)
    throw missing('make', 'neither ninja nor make is installed');
  return 'Unix Makefiles';
}
