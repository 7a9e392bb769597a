import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { describeObjective, objectiveNames } from './index.ts';

const path = new URL('../../docs/objectives.md', import.meta.url);
const marked = /(<!-- objectives: [^\n]*-->\n)[\s\S]*?(<!-- \/objectives -->)/;

/** Every preset in a line; its options are in objective-presets.md. */
function table(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const answer = (yes: boolean): string => (yes ? 'yes' : 'no');
  const rows = objectiveNames.map((name) => {
    const { summary, source, needsReference, batchWide } = describeObjective(name);
    return `| \`${name}\` | ${cell(summary)} | ${answer(needsReference)} | ${answer(batchWide)} | ${cell(source)} |`;
  });
  const head = ['| name | loss of a pair | reference | batch-wide | source |', '|---|---|---|---|---|'];
  return [...head, ...rows, ''].join('\n');
}

it('docs/objectives.md lists every objective of the registry', () => {
  const text = readFileSync(path, 'utf8');
  expect(text).toMatch(marked);
  const expected = text.replace(marked, (_, open: string, close: string) => `${open}${table()}${close}`);
  if (process.env.UPDATE_DOCS === '1') writeFileSync(path, expected);
  else expect(text).toBe(expected);
});

/** Type errors of each program; the package's name means its sources. */
function typeErrors(programs: readonly string[]): string[][] {
  const config = fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} };
  const { options } = ts.getParsedCommandLineOfConfigFile(config, {}, host)!;
  const folder = mkdtempSync(join(tmpdir(), 'mallows-docs-'));
  try {
    const files = programs.map((code, index) => {
      const file = join(folder, `${index}.mts`);
      writeFileSync(file, code);
      return file;
    });
    const program = ts.createProgram(files, options);
    return files.map((file) => {
      const source = program.getSourceFile(file);
      const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it('docs/objectives.md shows programs that compile', () => {
  const text = readFileSync(path, 'utf8');
  const programs = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
  expect(programs).toHaveLength(2);
  for (const code of programs) expect(code).toContain("from 'mallowspo'");
  const wrong = "import { compose } from 'mallowspo';\ncompose({ nme: 'x' });\n";
  const errors = typeErrors([...programs, wrong]);
  expect(errors.slice(0, -1)).toEqual([[], []]);
  expect(errors.at(-1)!.join()).toContain("'nme'");
});
