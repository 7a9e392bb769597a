// Compiles src/ into dist/, when a source changed.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder, hashOf, run, say, seconds } from './tools.mjs';

export async function compileTypeScript(root) {
  if (!existsSync(join(root, 'src'))) return undefined; // an installed package comes compiled
  const sources = filesUnder(join(root, 'src')).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
  );
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].map((name) =>
    join(root, name),
  );
  const stamp = hashOf(root, [...sources, ...settings]);
  const output = join(root, 'dist');
  const stampFile = join(output, '.stamp');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return undefined;

  const start = performance.now();
  say('  compiling TypeScript');
  // Types are checked by `npm run lint`; here only JavaScript and declarations are wanted, soon.
  // Compiled beside and swapped in: no half of a compilation, and no file whose source is gone.
  const next = join(root, 'build', 'dist');
  rmSync(next, { recursive: true, force: true });
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await run(
    process.execPath,
    [compiler, '-p', join(root, 'tsconfig.build.json'), '--noCheck', '--outDir', next],
    {
      cwd: root,
      what: 'compiling TypeScript',
      hint: '`npm run lint` shows what is wrong.',
    },
  );
  writeFileSync(join(next, '.stamp'), stamp);
  rmSync(output, { recursive: true, force: true });
  renameSync(next, output);
  return `compiled TypeScript in ${seconds(start)}`;
}
