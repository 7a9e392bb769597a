import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeObjective, objectiveNames } from './index.ts';

const path = new URL('../../docs/objectives.md', import.meta.url);
const marked = /(<!-- objectives: [^\n]*-->\n)[\s\S]*?(<!-- \/objectives -->)/;

/** Every preset in a line; its options are in objective-presets.md. */
function table(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = objectiveNames.map((name) => {
    const { summary, source, needsReference } = describeObjective(name);
    return `| \`${name}\` | ${cell(summary)} | ${needsReference ? 'yes' : 'no'} | ${cell(source)} |`;
  });
  return ['| name | loss of a pair | reference | source |', '|---|---|---|---|', ...rows, ''].join('\n');
}

it('docs/objectives.md lists every objective of the registry', () => {
  const text = readFileSync(path, 'utf8');
  expect(text).toMatch(marked);
  const expected = text.replace(marked, (_, open: string, close: string) => `${open}${table()}${close}`);
  if (process.env.UPDATE_DOCS === '1') writeFileSync(path, expected);
  else expect(text).toBe(expected);
});
