import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { Rows } from '../src/data/index.ts';
import { setThreads } from '../src/engine/index.ts';
import { trainReward } from '../src/evaluate/index.ts';
import { RunReader } from '../src/runs/index.ts';
import { type PreferenceOptions, type TrainEvent, trainPreference, trainSft } from '../src/train/index.ts';
import { jsonLines } from './support/data.ts';

setThreads(1);

const STORIES = fileURLToPath(new URL('fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'mallows-rows-'));
afterAll(() => rmSync(directory, { recursive: true }));

const names = ['Lily', 'Tom', 'Sam', 'Mia', 'Ben', 'Anna', 'Max', 'Sue'];
const prompt = (name: string) => `Once upon a time, there was a little child named ${name}.`;
const pairs = names.map((name) => ({ prompt: prompt(name), chosen: ` ${name} smiled.`, rejected: ' No.' }));
const logged = names.map((name, index) => ({
  id: BigInt(index),
  prompt: prompt(name),
  response_a: ` ${name} smiled.`,
  response_b: ' No.',
  winner: index === 2 ? 'tie' : 'a',
}));

async function* cursor(rows: readonly object[]) {
  yield* rows;
}

const base = {
  model: STORIES,
  evalFraction: 0.25,
  steps: 1,
  batch: { pairs: 3 },
  dtype: 'fp32',
  referenceCache: false,
} as const satisfies Partial<PreferenceOptions>;

/** What an observer hears of the data. */
function heard() {
  const events: TrainEvent[] = [];
  const data = () => events.find((event) => event.type === 'data');
  return { observer: (event: TrainEvent) => events.push(event), data };
}

describe('trainPreference of rows in memory', () => {
  it('computes what it computes from a file of them', async () => {
    const file = join(directory, 'pairs.jsonl');
    writeFileSync(file, jsonLines(...pairs));
    const metricsOf = async (data: PreferenceOptions['data']) => {
      const { model, metrics, evaluation } = await trainPreference({ ...base, data });
      model.model.dispose();
      return { metrics, evaluation };
    };
    const fromFile = await metricsOf(file);
    expect(fromFile.evaluation.length).toBe(2);
    expect(await metricsOf(pairs)).toEqual(fromFile);
    expect(await metricsOf(cursor(pairs))).toEqual(fromFile);
  });

  it.each<[string, object, string]>([
    ['an empty completion', { chosen: '  ' }, 'empty-completion'],
    ['null for a completion', { chosen: null }, 'missing-field'],
    ['no prompt', { prompt: undefined }, 'missing-field'],
    ['a role that nobody has', { prompt: [{ role: 'bot', content: 'Q' }] }, 'wrong-type'],
  ])('leaves out a row with %s and names it', async (_, bad, reason) => {
    const { observer, data } = heard();
    const rows = [...pairs, { ...pairs[0]!, ...bad }];
    const { model } = await trainPreference({ ...base, data: rows, observer });
    model.model.dispose();
    expect(data()).toMatchObject({ usable: 8, badRows: [{ file: 'memory', line: 9, reason }] });
    const strict = trainPreference({ ...base, data: rows, reading: { strict: true } });
    await expect(strict).rejects.toMatchObject({ code: reason, at: { file: 'memory', line: 9 } });
  });

  it('refuses an id that several pairs have', async () => {
    const data = pairs.map((pair) => ({ id: 'same', ...pair }));
    await expect(trainPreference({ ...base, data })).rejects.toMatchObject({ code: 'duplicate-id' });
  });

  it('renders text as a chat where that is asked for, as of a file', async () => {
    const asked = trainPreference({ ...base, data: pairs, reading: { style: 'chat' } });
    await expect(asked).rejects.toMatchObject({ code: 'chat-template-missing' });
  });

  it('takes an A/B log as it comes from a database, ids and ties included', async () => {
    const { observer, data } = heard();
    const { model, evaluation } = await trainPreference({ ...base, data: cursor(logged), observer });
    model.model.dispose();
    expect(data()).toMatchObject({ format: 'ab', usable: 7, badRows: [{ line: 3, reason: 'tied-scores' }] });
    expect(names.map((_, index) => String(index))).toEqual(
      expect.arrayContaining(evaluation.map(({ id }) => id)),
    );
  });

  it('goes on with a run of the same rows, whatever gives them, and of no others', async () => {
    const output = join(directory, 'resumed');
    const options = { ...base, steps: 2, output };
    const stop = new AbortController();
    const observer = (event: TrainEvent) => {
      if (event.type === 'step') stop.abort();
    };
    const first = await trainPreference({ ...options, data: pairs, observer, signal: stop.signal });
    first.model.model.dispose();
    expect(first.status).toBe('interrupted');
    expect(new RunReader(output).provenance()).toMatchObject({
      data: { train: { source: 'memory', rows: 8 } },
    });
    const others = trainPreference({ ...options, data: pairs.slice(1), resume: true });
    await expect(others).rejects.toMatchObject({ code: 'run-differs' });
    const again = await trainPreference({ ...options, data: cursor(pairs), resume: true });
    again.model.model.dispose();
    expect(again).toMatchObject({ status: 'finished', resumedFrom: 1 });
  });
});

describe('other trainings of rows in memory', () => {
  const learnt = names.map((name) => ({ prompt: prompt(name), completion: ` ${name} smiled.` }));

  it.each<[string, () => Rows]>([
    ['prompts with completions', () => [...learnt, { prompt: 'x', completion: ' ' }]],
    ['a stream of an A/B log', () => cursor(logged)],
  ])('trainSft takes %s', async (_, rows) => {
    const { observer, data } = heard();
    const { model } = await trainSft({ ...base, data: rows(), observer });
    model.model.dispose();
    expect(data()).toMatchObject({ source: 'memory', badRows: [{ file: 'memory' }] });
  });

  it('trainReward takes an A/B log', async () => {
    const { observer, data } = heard();
    const { model } = await trainReward({
      ...base,
      data: cursor(logged),
      evalData: logged.slice(0, 2),
      observer,
    });
    model.model.dispose();
    expect(data()).toMatchObject({ source: 'memory', format: 'ab', usable: 7 });
  });
});
