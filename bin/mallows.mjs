#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const compiled = existsSync(inRoot('dist/cli/main.js'));

if (process.argv[2] === 'setup' && !compiled) {
  // Before anything is built, this is the one command that can run.
  const { main } = await import(pathToFileURL(inRoot('scripts/setup/main.mjs')).href);
  process.exitCode = await main();
} else if (!compiled) {
  process.stderr.write('mallows is not compiled yet.\n  → Run `npm run setup` in the project.\n');
  process.exitCode = 1;
} else {
  const { main } = await import(pathToFileURL(inRoot('dist/cli/main.js')).href);
  process.exitCode = await main(process.argv.slice(2));
}
