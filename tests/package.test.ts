import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** The TypeScript blocks of a page of documentation. */
function typescriptBlocks(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
}

/** Type errors of a program that uses the package by its name, as its users do. */
function typeErrors(code: string): string[] {
  // Inside the package, so that its own name resolves through its `exports`.
  const directory = mkdtempSync(join(ROOT, 'build', 'consumer-'));
  try {
    const file = join(directory, 'consumer.mts');
    writeFileSync(file, code);
    const program = ts.createProgram([file], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules', '@types')],
    });
    return ts
      .getPreEmitDiagnostics(program)
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe('the package', () => {
  it('has declarations that a strict consumer compiles against, README included', () => {
    const blocks = typescriptBlocks('README.md');
    expect(blocks.length).toBeGreaterThan(0);
    for (const code of blocks) {
      expect(code).toContain("from 'mallowspo'");
      expect(typeErrors(code), code).toEqual([]);
    }
  });

  it('notices a wrong use', () => {
    const code =
      "import { trainPreference } from 'mallowspo';\nawait trainPreference({ modle: 'x', data: 'y' });\n";
    expect(typeErrors(code).join()).toContain('modle');
  });

  it('exports at run time what every command builds on', async () => {
    // A variable, so that the compiler does not insist on a build.
    const name = 'mallowspo';
    const library = (await import(/* @vite-ignore */ name)) as Record<string, unknown>;
    for (const each of [
      'trainPreference',
      'trainSft',
      'scorePairs',
      'loadModel',
      'loadPairs',
      'tokenizePairs',
      'generate',
      'createObjective',
      'fitDispersion',
      'saveDirectory',
      'exportGguf',
      'runBandit',
      'renderReport',
      'bootstrap',
      'MallowsError',
    ]) {
      expect(typeof library[each], each).toBe('function');
    }
  });

  it('ships what it needs', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    for (const file of manifest.files.filter((path) => path !== 'dist')) {
      expect(existsSync(join(ROOT, file)), file).toBe(true);
    }
    for (const needed of [
      'assets',
      'bin',
      'dist',
      'docs',
      'native',
      'recipes',
      'examples',
      'scripts/setup',
    ]) {
      expect(manifest.files).toContain(needed);
    }
  });
});
