import { Command } from '@commander-js/extra-typings';
import { expect, it } from 'vitest';
import { jsonLines, withFiles } from '../../tests/support/data.ts';
import { readPrompts } from './answers/prompts.ts';
import { createContext } from './context.ts';
import { columnOption } from './options.ts';

const parse = (...words: string[]) =>
  new Command()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .addOption(columnOption())
    .parse(words, { from: 'user' })
    .opts().column;

it('reads data under its own column names', async () => {
  const column = parse('--column', 'prompt=query', '--column', 'id=key');
  expect(column).toEqual({ prompt: 'query', id: 'key' });
  await withFiles({ 'prompts.jsonl': jsonLines({ query: 'P', key: 'k' }) }, async (path) => {
    const asked = { prompts: path('prompts.jsonl'), column: column! };
    expect(await readPrompts(createContext(), asked, false)).toEqual([{ id: 'k', prompt: 'P' }]);
  });
  for (const wrong of ['prompt', '=query', 'prompt=', 'a=b=c'])
    expect(() => parse('--column', wrong)).toThrow(/Expected NAME=COLUMN/);
});
