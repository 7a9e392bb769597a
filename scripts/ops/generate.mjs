// Writes src/engine/ops.generated.ts: one typed function per operator of operators.txt, from the operators' own schemas.
//
//   node scripts/ops/generate.mjs            writes the file
//   node scripts/ops/generate.mjs --check    exits 1 when the file is not in step with the list
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { emit } from './emit.mjs';
import { parseOperators } from './parse.mjs';

const root = new URL('../../', import.meta.url);
const target = fileURLToPath(new URL('src/engine/ops.generated.ts', root));

/** The generated file's text, from the list and the addon in build/. */
export function generate() {
  const addon = createRequire(import.meta.url)(fileURLToPath(new URL('build/mallows.node', root)));
  const list = readFileSync(new URL('operators.txt', import.meta.url), 'utf8');
  const source = emit(parseOperators(list, addon.schema));
  const biome = fileURLToPath(new URL('node_modules/.bin/biome', root));
  return execFileSync(biome, ['format', '--stdin-file-path=src/engine/ops.generated.ts'], {
    cwd: fileURLToPath(root),
    input: source,
    encoding: 'utf8',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = generate();
  if (!process.argv.includes('--check')) {
    writeFileSync(target, text);
  } else if (readFileSync(target, 'utf8') !== text) {
    console.error(
      `${target} is not in step with scripts/ops/operators.txt; run node scripts/ops/generate.mjs`,
    );
    process.exitCode = 1;
  }
}
