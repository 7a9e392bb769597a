import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../src/', import.meta.url));

/**
 * The layers from the ground up (docs/architecture.md). A file imports from its own layer and from those below, types
 * included. Layers in one row do not know each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['errors', 'schema-words', 'suggest', 'system-errors', 'threads', 'units'],
  ['stats'],
  ['engine'],
  ['nn'],
  ['models'],
  ['text'],
  ['checkpoints'],
  ['data'],
  ['objectives'],
  ['optim'],
  ['runs'],
  ['generate'],
  ['train'],
  ['evaluate'],
  ['report'],
  ['experiments'],
  ['config'],
  ['cli'],
];

const rankOf = new Map(LAYERS.flatMap((row, rank) => row.map((layer) => [layer, rank] as const)));

function sourceFiles(): string[] {
  return readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'index.ts',
  );
}

/** Every module that a file names: imports, re-exports, dynamic imports and import types. */
function importsOf(file: string): string[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(ROOT, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      names.push((node.moduleSpecifier as ts.StringLiteral).text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument !== undefined && ts.isStringLiteral(argument)) names.push(argument.text);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      names.push((node.argument.literal as ts.StringLiteral).text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

const layerOf = (file: string): string => file.split('/')[0]!.replace(/\.ts$/, '');

interface Edge {
  readonly file: string;
  readonly target: string;
}

/** Ways on which a file comes back to itself. */
function cyclesOf(edges: readonly Edge[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { file, target } of edges) targets.set(file, [...(targets.get(file) ?? []), target]);
  const finished = new Set<string>();
  const cycles: string[] = [];
  const follow = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) cycles.push([...way.slice(way.indexOf(file)), file].join(' → '));
    else if (!finished.has(file)) {
      for (const target of targets.get(file) ?? []) follow(target, [...way, file]);
      finished.add(file);
    }
  };
  for (const file of targets.keys()) follow(file, []);
  return cycles;
}

describe('layers', () => {
  const edges = sourceFiles().flatMap((file) =>
    importsOf(file)
      .filter((name) => name.startsWith('.'))
      .map((name) => ({ file, target: relative(ROOT, join(ROOT, dirname(file), name)) })),
  );

  it('sees the imports of every layer that there is', () => {
    const layers = new Set(sourceFiles().map(layerOf));
    expect([...layers].filter((layer) => !rankOf.has(layer))).toEqual([]);
    expect(edges.length).toBeGreaterThan(layers.size);
  });

  it('import downwards only', () => {
    const wrong = edges
      .filter(({ file, target }) => {
        const [from, to] = [layerOf(file), layerOf(target)];
        return from !== to && (rankOf.get(to) ?? Number.POSITIVE_INFINITY) >= rankOf.get(from)!;
      })
      .map(({ file, target }) => `${file} → ${target}`);
    expect(wrong).toEqual([]);
  });

  it('no file imports itself through others', () => {
    const around = [
      { file: 'a.ts', target: 'b.ts' },
      { file: 'b.ts', target: 'c.ts' },
      { file: 'c.ts', target: 'b.ts' },
    ];
    expect(cyclesOf(around)).toEqual(['b.ts → c.ts → b.ts']);
    expect(cyclesOf(edges)).toEqual([]);
  });

  it('only the engine knows the addon', () => {
    const wrong = edges.filter(
      ({ file, target }) => target === 'engine/addon.ts' && layerOf(file) !== 'engine',
    );
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  it('enters the engine by its front door', () => {
    const wrong = edges.filter(
      ({ file, target }) =>
        layerOf(file) !== 'engine' &&
        target.startsWith('engine/') &&
        target !== 'engine/index.ts' &&
        target !== 'engine/contract.ts',
    );
    expect(wrong.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
  });
});
