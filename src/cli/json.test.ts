import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runMallows } from '../../tests/support/mallows.ts';
import { trainCommand } from './commands/train.ts';
import { createContext } from './context.ts';
import { EVENTS } from './events.ts';

const PAGE = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

/** The records of a command line. */
async function records(...argv: string[]): Promise<{ code: number; records: unknown[] }> {
  const { code, stdout } = await runMallows(...argv);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return { code, records: lines.map((line) => JSON.parse(line) as unknown) };
}

describe('--json', () => {
  it('writes the events that docs/json.md lists', () => {
    const listed = [...PAGE.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!);
    expect(listed.toSorted()).toEqual(EVENTS.toSorted());
  });

  it.each([
    [['train', '--bogus'], { code: 'unknown-option', message: expect.stringContaining("'--bogus'") }],
    [['reward', 'score'], { code: 'missing-mandatory-option-value' }],
    [['trian'], { code: 'unknown-command', message: expect.stringContaining('Did you mean train?') }],
    [['generate', '--model', 'm', '--n', '0'], { code: 'invalid-argument' }],
    [['train', '--set', 'training'], { code: 'set-syntax' }],
  ])('tells what is wrong with the command line %j', async (argv, record) => {
    expect(await records(...argv, '--json')).toEqual({
      code: 2,
      records: [expect.objectContaining({ event: 'error', ...record })],
    });
    expect((await records(...argv)).records).toEqual([]);
  });

  it('prints a recipe’s schema, and settings without any data, as one record', async () => {
    const schema = await records('train', '--schema', '--json');
    expect(schema.records).toEqual([
      { event: 'schema', schema: expect.objectContaining({ type: 'object' }) },
    ]);
    const set = ['--set', 'sampling.prompts=8', '--model', 'mine'];
    const settings = await records('reproduce', 'imdb', '--settings', ...set, '--json');
    expect(settings.records).toEqual([
      { event: 'settings', settings: expect.objectContaining({ model: 'mine' }) },
    ]);
    expect(settings.records).toMatchObject([{ settings: { sampling: { prompts: 8 } } }]);
    expect(await records('reproduce', 'hh', '--json')).toMatchObject({
      code: 2,
      records: [{ event: 'error', code: 'data-missing' }],
    });
  });

  it('explains a recipe in one record', async () => {
    const argv = ['train', '--model', 'm', '--data', 'd.jsonl', '--explain', '--json'];
    expect((await records(...argv)).records).toMatchObject([{ event: 'recipe', recipe: { model: 'm' } }]);
  });
});

it('the help of options without a fixed default says what holds', () => {
  const context = createContext();
  const helpOf = (command: { helpInformation(): string }) => command.helpInformation().replace(/\s+/g, ' ');
  expect(helpOf(trainCommand(context))).toContain('default: mallows-theta');
  expect(helpOf(trainCommand(context))).toContain('default: runs/train');
});
