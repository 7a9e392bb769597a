import { cpSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { STORIES } from '../../tests/support/stories.ts';
import { loadPairs } from '../data/index.ts';
import { setThreads } from '../engine/index.ts';
import { trainPreference } from './preference.ts';
import type { PairsInput } from './preference-data.ts';
import { trainSft } from './sft.ts';

setThreads(1);

const ROWS = ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
  prompt: `Once there was a child named ${name}.`,
  completion: ' It was happy.',
}));

const SHORT = { data: ROWS, steps: 1, batch: { pairs: 2 }, dtype: 'fp32', evalFraction: 0 } as const;

const folder = mkdtempSync(join(tmpdir(), 'mallows-inputs-'));
const run = join(folder, 'run');
const weights = join(run, 'model', 'model.safetensors');

async function finished(training: Promise<{ model: { model: { dispose(): void } } }>): Promise<void> {
  (await training).model.model.dispose();
}

beforeAll(async () => {
  await finished(trainSft({ ...SHORT, model: STORIES, output: run }));
});

describe('what a run is made from is not overwritten', () => {
  it.each([
    ['the run itself', () => run],
    ['its model', () => join(run, 'model')],
    [
      'a link to its model',
      () => {
        const link = join(folder, 'link');
        symlinkSync(join(run, 'model'), link);
        return link;
      },
    ],
  ])('a model that is %s', async (_, model) => {
    const training = trainSft({ ...SHORT, model: model(), output: run, overwrite: true });
    await expect(training).rejects.toMatchObject({
      code: 'model-in-output',
      message: expect.stringContaining(run),
    });
    expect(existsSync(weights)).toBe(true);
  });

  it('a model whose place the result would take, without a run there', async () => {
    const output = join(folder, 'bare');
    cpSync(join(run, 'model'), join(output, 'model'), { recursive: true });
    const training = trainSft({ ...SHORT, model: join(output, 'model'), output });
    await expect(training).rejects.toMatchObject({ code: 'model-in-output' });
  });

  it('the base of an adapter', async () => {
    const { isAdapterDirectory } = await import('../checkpoints/adapter.ts');
    const adapter = join(folder, 'adapter');
    const lora = { rank: 2 };
    await finished(trainSft({ ...SHORT, model: join(run, 'model'), output: adapter, lora }));
    expect(isAdapterDirectory(join(adapter, 'model'))).toBe(true);
    const training = trainSft({ ...SHORT, model: adapter, output: run, overwrite: true });
    await expect(training).rejects.toMatchObject({ code: 'model-in-output' });
    expect(existsSync(weights)).toBe(true);
  });

  it('data that go or are moved, and only those', async () => {
    const line = (name: string) =>
      JSON.stringify({ prompt: `Once ${name}`, chosen: ' It was happy.', rejected: ' It was sad.' });
    const lines = `${['Tom', 'Mia', 'Sam', 'Sue'].map(line).join('\n')}\n`;
    mkdirSync(join(run, 'figures'), { recursive: true });
    for (const name of ['judged.pairs.jsonl', 'figures/pairs.jsonl', 'mine.jsonl']) {
      writeFileSync(join(run, name), lines);
    }
    const train = (data: PairsInput, evalData?: PairsInput) =>
      trainPreference({
        ...SHORT,
        model: STORIES,
        objective: 'dpo',
        data,
        ...(evalData !== undefined && { evalData }),
        referenceCache: false,
        output: run,
        overwrite: true,
      });
    const mine = join(run, 'mine.jsonl');
    const refused = expect.objectContaining({ code: 'data-in-output' });
    await expect(train(join(run, 'judged.pairs.jsonl'))).rejects.toEqual(refused);
    await expect(train(mine, join(run, 'figures', 'pairs.jsonl'))).rejects.toEqual(refused);
    await expect(train([mine, join(run, 'judged.pairs.jsonl')])).rejects.toEqual(refused);
    await expect(train(join(run, 'judged.*.jsonl'))).rejects.toEqual(refused);
    await expect(train(mine, [join(run, 'figures', '*.jsonl')])).rejects.toEqual(refused);
    await expect(train(await loadPairs(join(run, 'figures', 'p?irs.jsonl')))).rejects.toEqual(refused);
    expect(existsSync(join(run, 'figures', 'pairs.jsonl'))).toBe(true);
    await finished(train([join(run, 'mi*.jsonl')]));
    expect(existsSync(mine)).toBe(true);
  });
});
