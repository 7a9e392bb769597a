// npm packages, in step with package-lock.json.
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run, say, seconds } from './tools.mjs';

/** Runs `npm ci` if something that the lock file names is not installed in that version. */
export async function installPackages(root) {
  const lockFile = join(root, 'package-lock.json');
  if (!existsSync(lockFile)) return undefined; // an installed package: npm put its dependencies in place
  let done;
  if (!inStep(lockFile, join(root, 'node_modules', '.package-lock.json'))) {
    const start = performance.now();
    say('  installing npm packages from the lock file');
    await run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], {
      cwd: root,
      what: 'installing npm packages',
      hint: 'Check the network and npm’s registry settings (`npm config get registry`), then run set-up again.',
    });
    done = `installed npm packages in ${seconds(start)}`;
  }
  linkCommand(root);
  return done;
}

/** npm records what it installed in a lock file of its own; packages for other platforms are absent from it. */
function inStep(lockFile, installedFile) {
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

/** npm links commands of dependencies, not of the project itself: this makes `npx mallows` work in a checkout. */
function linkCommand(root) {
  const link = join(root, 'node_modules', '.bin', 'mallows');
  const target = relative(dirname(link), join(root, 'bin', 'mallows.mjs'));
  try {
    if (readlinkSync(link) === target) return;
    unlinkSync(link);
  } catch {
    mkdirSync(dirname(link), { recursive: true }); // no link yet
  }
  symlinkSync(target, link);
}
