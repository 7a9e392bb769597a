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

/** Types that exported declarations refer to and that cannot be imported, with the exports that refer to them. */
function typesOutOfReach(entry: string): string[] {
  const program = ts.createProgram([entry], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    skipLibCheck: true,
    types: ['node'],
  });
  const checker = program.getTypeChecker();
  const target = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

  const exported = new Map<ts.Symbol, string>();
  const collect = (module: ts.Symbol, prefix = ''): void => {
    for (const symbol of checker.getExportsOfModule(module)) {
      const name = `${prefix}${symbol.name}`;
      const found = target(symbol);
      if (found.flags & ts.SymbolFlags.ValueModule) collect(found, `${name}.`);
      else if (!exported.has(found)) exported.set(found, name);
    }
  };
  collect(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!);

  const typesIn = (node: ts.Node, visit: (symbol: ts.Symbol) => void): void => {
    const name =
      (ts.isTypeReferenceNode(node) && node.typeName) ||
      (ts.isExpressionWithTypeArguments(node) && node.expression) ||
      (ts.isImportTypeNode(node) && node.qualifier);
    const symbol = name ? checker.getSymbolAtLocation(name) : undefined;
    if (symbol !== undefined) visit(target(symbol));
    ts.forEachChild(node, (child) => typesIn(child, visit));
  };
  const ours = (symbol: ts.Symbol) =>
    symbol.declarations?.some((each) => each.getSourceFile().fileName.startsWith(join(ROOT, 'dist'))) ===
    true;
  const missing = new Set<string>();
  for (const [symbol, name] of exported) {
    for (const declaration of symbol.declarations ?? []) {
      typesIn(declaration, (used) => {
        const nameless = used.flags & ts.SymbolFlags.TypeParameter;
        if (ours(used) && !nameless && !exported.has(used)) missing.add(`${name} → ${used.name}`);
      });
    }
  }
  return [...missing];
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
    const objective = "{ name: 'mallows-theta', betta: 1 }";
    const misspelt = `import { trainPreference } from 'mallowspo';
await trainPreference({ model: 'x', data: 'y', objective: ${objective} });
`;
    expect(typeErrors(misspelt).join()).toContain('betta');
  });

  it('takes objectives of any name, names that are read from somewhere, and functions', () => {
    const code = `import { defineObjective, trainPreference } from 'mallowspo';
const [name = 'dpo'] = process.argv;
const options = { model: 'x', data: 'y' };
await trainPreference({ ...options, objective: 'mallows-theta' });
await trainPreference({ ...options, objective: name, dtype: 'bfloat16' });
await trainPreference({ ...options, objective: { name, beta: 1 } });
await trainPreference({ ...options, objective: { name: 'mallows-phi', epsilon: '2t' } });
await trainPreference({ ...options, objective: defineObjective({ name: 'mine', loss: () => 0 }) });
`;
    expect(typeErrors(code)).toEqual([]);
  });

  it('exports every type that its declarations refer to', () => {
    expect(typesOutOfReach(join(ROOT, 'dist', 'index.d.ts'))).toEqual([]);
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
      'saveModel',
      'mergeAdapters',
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
