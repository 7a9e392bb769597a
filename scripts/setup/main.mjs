// Set-up: npm packages, the engine, the native addon, TypeScript. Does what is not in step and nothing else.
//
//   node scripts/setup/main.mjs
//
// Environment: MALLOWS_TORCH (a PyTorch to use), MALLOWS_CACHE (where a fetched one is kept).
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './addon.mjs';
import { installPackages } from './packages.mjs';
import { checkPlatform } from './platform.mjs';
import { locked, SetupError, say, seconds } from './tools.mjs';
import { compileTypeScript } from './typescript.mjs';

const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Brings everything in step; throws SetupError with a hint where the user has to act. */
export async function setup(root = projectRoot) {
  checkPlatform();
  const start = performance.now();
  const done = await locked(join(root, 'build', 'setup.lock'), async () => {
    const steps = [];
    for (const step of [installPackages, buildAddon, compileTypeScript]) {
      const outcome = await step(root);
      if (outcome === undefined) continue;
      say(`  ${outcome}`);
      steps.push(outcome);
    }
    return steps;
  });
  say(`Set-up: ${done.length === 0 ? 'everything is in step' : 'ready'} (${seconds(start)})`);
}

/** As a program: prints a problem as people read it, and returns the exit code. */
export async function main() {
  try {
    await setup();
    return 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    if (error.details !== '') say(error.details);
    say(`Set-up stopped: ${error.message}.`);
    say(`  → ${error.hint}`);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
