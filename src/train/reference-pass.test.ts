import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../checkpoints/index.ts';
import { type PreferencePair, tokenizePair } from '../data/index.ts';
import { setThreads } from '../engine/index.ts';
import type { PairScore } from '../runs/index.ts';
import type { TrainEvent } from './contract.ts';
import { drawRows } from './holdout.ts';
import { type PreferenceOptions, trainPreference } from './preference.ts';
import { scorePairs } from './score.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const directory = () => mkdtempSync(join(tmpdir(), 'mallows-reference-pass-'));

/** Short pairs of as many prompts; those of `long` have a prompt of some hundred tokens. */
function pairs(count: number, long: readonly number[] = []): PreferencePair[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${index}`,
    prompt: `Story ${index}.`.repeat(long.includes(index) ? 40 : 1),
    chosen: ` ${index} is happy.`,
    rejected: ' no.',
  }));
}

const base = {
  model: STORIES,
  steps: 1,
  batch: { pairs: 2 },
  maxLength: 64,
  objective: 'dpo',
  dtype: 'fp32',
} as const satisfies Partial<PreferenceOptions>;

const scoresIn = (run: string, name: string): PairScore[] =>
  readFileSync(join(run, name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('the reference pass beside the tokenizer', () => {
  it('scores as all pairs at once would be, begins before they are tokens, and keeps whole windows', async () => {
    const data = pairs(1500);
    const heldOut = pairs(40).map((pair) => ({ ...pair, id: `held-out-${pair.id}` }));
    const [cache, first, second, third] = [directory(), directory(), directory(), directory()];
    const events: TrainEvent[] = [];
    const options = { ...base, evalData: heldOut, evaluation: { maxPairs: 25 }, referenceCache: cache };
    const { model } = await trainPreference({
      ...options,
      data,
      output: first,
      observer: (event) => events.push(event),
    });

    const reference = await loadModel(STORIES, { dtype: 'float32' });
    const drawn = drawRows(heldOut, 25, 0).map((index) => heldOut[index]!);
    const tokens = [...data, ...drawn].map((pair) => {
      const result = tokenizePair(pair, reference.tokenizer, { maxLength: 64 });
      if ('reason' in result) throw new Error(result.detail);
      return result;
    });
    const expected = await scorePairs(reference.model, tokens);
    const scores = [...scoresIn(first, 'reference.jsonl'), ...scoresIn(first, 'eval-reference.jsonl')];
    expect(scores.map(({ id }) => id)).toEqual(tokens.map(({ id }) => id));
    for (const [index, { chosen, rejected }] of scores.entries()) {
      expect(chosen.logp).toBeCloseTo(expected[index]!.chosen.logp, 3);
      expect(rejected.entropy).toBeCloseTo(expected[index]!.rejected.entropy, 4);
    }

    const isScored = (event: TrainEvent) => event.type === 'reference' && event.done > 0;
    const dataAt = events.findIndex((event) => event.type === 'data' && event.split === 'train');
    expect(events.findIndex(isScored)).toBeLessThan(dataAt);
    const progress = events.flatMap((event) => (event.type === 'reference' ? [event] : []));
    expect(progress.filter(({ done, total }) => done === total).map(({ total }) => total)).toEqual([
      1500, 25,
    ]);
    expect(progress.every(({ done, total }) => done <= total)).toBe(true);

    // Two windows of training pairs, one of held-out ones. All of it is free the second time…
    const written = () => readdirSync(cache).map((name) => [name, statSync(join(cache, name)).mtimeMs]);
    const kept = written();
    expect(kept).toHaveLength(3);
    await trainPreference({ ...options, data, output: second });
    expect(written()).toEqual(kept);
    expect(scoresIn(second, 'reference.jsonl')).toEqual(scoresIn(first, 'reference.jsonl'));
    // … and with pairs added at the end, the whole windows before them.
    await trainPreference({ ...options, data: pairs(1510), output: third });
    expect(written()).toHaveLength(4);
    expect(scoresIn(third, 'reference.jsonl').slice(0, 1024)).toEqual(
      scoresIn(first, 'reference.jsonl').slice(0, 1024),
    );

    model.model.dispose();
    reference.model.dispose();
  });

  it('ends with the tokenizer at a row that may not be bad, before there is a run', async () => {
    const output = join(directory(), 'run');
    const events: TrainEvent[] = [];
    const failed = trainPreference({
      ...base,
      data: pairs(1500, [1490]),
      evalFraction: 0,
      output,
      referenceCache: false,
      reading: { strict: true },
      observer: (event) => events.push(event),
    });
    await expect(failed).rejects.toMatchObject({ code: 'prompt-too-long', at: { line: 1491 } });
    const after = events.length;
    expect(events.at(-1)!.type).toBe('reference');
    await new Promise((resume) => setTimeout(resume, 200));
    expect(events).toHaveLength(after);
    expect(readdirSync(join(output, '..'))).toEqual([]);
  });

  it('stops at its signal', async () => {
    const stop = new AbortController();
    const stopped = trainPreference({
      ...base,
      data: pairs(1500),
      evalFraction: 0,
      referenceCache: false,
      signal: stop.signal,
      observer: (event) => event.type === 'reference' && event.done > 0 && stop.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('held-out rows', () => {
  const heldOutIds = async (maxLength: number, long: readonly number[] = []) => {
    const output = join(directory(), 'run');
    const events: TrainEvent[] = [];
    await trainPreference({
      ...base,
      data: pairs(20, long),
      maxLength,
      evalFraction: 0.2,
      output,
      referenceCache: false,
      observer: (event) => events.push(event),
    });
    const ids = events.some((event) => event.type === 'note' && event.code === 'nothing-held-out')
      ? []
      : scoresIn(output, 'eval-reference.jsonl').map(({ id }) => Number(id));
    const data = events.flatMap((event) => (event.type === 'data' ? [event] : []));
    return { ids, data: data[0]! };
  };

  it('are the same under every training seed, and a share far from the one asked for is told', async () => {
    const prompts = async (seed: number, data: readonly PreferencePair[], evalSeed?: number) => {
      const notes: string[] = [];
      const output = join(directory(), 'run');
      const { model } = await trainPreference({
        ...base,
        data,
        seed,
        evalFraction: 0.2,
        ...(evalSeed !== undefined && { evalSeed }),
        output,
        referenceCache: false,
        observer: (event) => event.type === 'note' && notes.push(event.code),
      });
      model.model.dispose();
      const ids = scoresIn(output, 'eval-reference.jsonl').map(({ id }) => id);
      return { ids, isUneven: notes.includes('uneven-split') };
    };
    const rows = pairs(20);
    const first = await prompts(0, rows);
    expect(first).toMatchObject({ isUneven: false });
    expect(await prompts(7, rows)).toEqual(first);
    expect((await prompts(0, rows, 7)).ids).not.toEqual(first.ids);
    const same = rows.map((pair, index) => ({ ...pair, prompt: rows[index % 2]!.prompt }));
    expect(await prompts(0, same)).toMatchObject({ isUneven: true });
  });

  it('are the same whatever the tokenizer leaves of the rows; the bad ones of both splits are told in order', async () => {
    const { ids, data } = await heldOutIds(64);
    expect(ids).toHaveLength(4);
    expect(data).toMatchObject({ usable: 20, badRows: [] });
    const trained = Array.from({ length: 20 }, (_, index) => index).filter((index) => !ids.includes(index));
    const long = [ids[0]!, trained[0]!, trained[9]!];
    const shorter = await heldOutIds(64, long);
    expect(shorter.ids).toEqual(ids.slice(1));
    expect(shorter.data.usable).toBe(17);
    expect(shorter.data.badRows.map(({ id }) => Number(id))).toEqual(long.toSorted((a, b) => a - b));
    expect((await heldOutIds(64, ids)).ids).toEqual([]);
  });
});
