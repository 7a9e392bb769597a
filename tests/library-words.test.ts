import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { FLAGS } from '../src/cli/errors.ts';

const ROOT = fileURLToPath(new URL('../src/', import.meta.url));

/** Where flags are at home: the command line, recipes that it overrides, experiments whose settings it sets. */
const COMMAND_LINE = /^(cli|config|experiments)\//;

/** Two dashes that are no flag of ours: pip's, and variables of style sheets. */
const OTHERS = ['checkpoints/packaged.ts', 'report/style.ts'];

/** The texts that a file has in its code, without its comments. */
function textsOf(file: string): string[] {
  const code = readFileSync(`${ROOT}${file}`, 'utf8');
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true);
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      texts.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return texts;
}

describe('what the library says', () => {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !COMMAND_LINE.test(file));
  const texts = files.map((file) => ({ file, texts: textsOf(file) }));

  it('speaks of options, not of flags: those are added by src/cli/errors.ts', () => {
    const flagged = texts.flatMap(({ file, texts }) =>
      texts.flatMap((text) => (/(^|[\s("'`])--[a-z]/.test(text) ? [`${file}: ${text}`] : [])),
    );
    expect(flagged.filter((line) => !OTHERS.includes(line.split(':')[0]!))).toEqual([]);
    // It does find some.
    expect(new Set(flagged.map((line) => line.split(':')[0]))).toEqual(new Set(OTHERS));
  });

  it('has every code that flags are added to', () => {
    // In comments too: a code may be put together.
    const sources = files.map((file) => readFileSync(`${ROOT}${file}`, 'utf8')).join('');
    expect(Object.keys(FLAGS).filter((code) => !new RegExp(`['\`]${code}['\`]`).test(sources))).toEqual([]);
  });
});
