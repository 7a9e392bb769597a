import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { PreferencePair } from '../data/index.ts';
import { setThreads } from '../engine/index.ts';
import { RunReader, readJsonLines } from '../runs/index.ts';
import type { TrainEvent } from './contract.ts';
import { type PreferenceOptions, trainPreference } from './preference.ts';
import { trainSft } from './sft.ts';

setThreads(1);

const STORIES = fileURLToPath(
  new URL('../../tests/fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);
const output = () => join(mkdtempSync(join(tmpdir(), 'mallows-splits-')), 'run');

const pair = (name: string, more: Partial<PreferencePair> = {}): PreferencePair => ({
  id: name,
  prompt: `There was a child named ${name}.`,
  chosen: ' It was happy.',
  rejected: ' It was sad.',
  ...more,
});
const NAMES = ['Lily', 'Tom', 'Sam', 'Mia', 'Ben', 'Anna'];
const PAIRS = NAMES.map((name) => pair(name));

const base = {
  model: STORIES,
  objective: 'dpo',
  steps: 1,
  dtype: 'fp32',
  device: 'cpu',
  referenceCache: false,
} as const satisfies Partial<PreferenceOptions>;

/** Trains, and returns what was said of it. */
async function train(options: Partial<PreferenceOptions> & Pick<PreferenceOptions, 'data'>) {
  const notes = new Map<string, string>();
  const observer = (event: TrainEvent) => event.type === 'note' && notes.set(event.code, event.message);
  const { model } = await trainPreference({ ...base, ...options, observer });
  model.model.dispose();
  return notes;
}
const dataOf = (run: string) =>
  new RunReader(run).provenance()!.data as Record<string, Record<string, unknown>>;
const idsOf = (run: string, name: string) =>
  (readJsonLines(join(run, name)).records as { id: string }[]).map(({ id }) => id);

describe('held-out prompts that are trained on', () => {
  it('are counted, however they are written', async () => {
    const run = output();
    const spaced = pair('Tom', { prompt: 'There was  a child named Tom.\n' });
    const evalData = [pair('Zoe'), spaced, pair('Sam')];
    const notes = await train({ data: PAIRS, evalData, output: run });
    expect(notes.get('held-out-trained')).toMatch(/^2 of 3 held-out rows have a prompt that is trained on/);
    expect(dataOf(run).eval).toMatchObject({ rows: 3, promptsTrainedOn: 2 });
  });

  it('are no matter of a split by prompt', async () => {
    const run = output();
    const notes = await train({ data: PAIRS, evalFraction: 0.5, output: run });
    expect(notes.has('held-out-trained')).toBe(false);
    expect(dataOf(run).eval).toMatchObject({ rows: 3, promptsTrainedOn: 0 });
  });

  it('are noticed by SFT', async () => {
    const examples = NAMES.map((name) => ({ id: name, prompt: `A child: ${name}.`, completion: ' It was.' }));
    const codes: string[] = [];
    const { model } = await trainSft({
      model: STORIES,
      data: examples,
      evalData: examples.slice(2, 4),
      steps: 1,
      dtype: 'fp32',
      observer: (event) => event.type === 'note' && codes.push(event.code),
    });
    expect(codes).toContain('held-out-trained');
    model.model.dispose();
  });
});

describe('evaluating on fewer rows than are held out', () => {
  it('draws them, whatever the seed of the training, and says of how many', async () => {
    const evalData = Array.from({ length: 40 }, (_, index) => pair(`number ${index}`));
    const drawn: string[][] = [];
    for (const more of [{}, { seed: 7 }, { evalSeed: 7 }]) {
      const run = output();
      await train({ data: PAIRS, evalData, evaluation: { maxPairs: 6 }, output: run, ...more });
      drawn.push(idsOf(run, 'evaluations/step-1.jsonl'));
      expect(dataOf(run).eval).toMatchObject({ rows: 6, drawnFrom: 40 });
    }
    expect(drawn[0]).not.toEqual(evalData.slice(0, 6).map(({ id }) => id));
    expect(drawn[1]).toEqual(drawn[0]);
    expect(drawn[2]).not.toEqual(drawn[0]);
  });
});

describe('contested pairs of a recipe that weighs by votes', () => {
  const agreed = { votes: { chosen: 3, rejected: 0 } };
  const contested = { votes: { chosen: 1, rejected: 1 } };
  const data = NAMES.map((name, index) => pair(name, index < 2 ? contested : agreed));
  const evalData = [pair('Zoe', agreed), pair('Max', contested), pair('Sue', agreed)];
  const votes = { source: 'votes' } as const;

  it.each(['dpo', 'simpo', 'mallows-theta', 'mallows-phi'])(
    'are not trained on and are evaluated, whatever the objective: %s',
    async (objective) => {
      const run = output();
      const notes = await train({ data, evalData, objective, dispersion: votes, output: run });
      expect(notes.get('contested-pairs')).toBe(
        '2 contested training pairs (Lily, Tom) are left out, whatever the objective: their votes do not favour the chosen side. Set dispersion.floor to keep them. 1 contested held-out pair (Max) is evaluated, with next to no weight w(x) in the loss.',
      );
      expect(dataOf(run)).toMatchObject({
        train: { rows: 4, contested: 2 },
        eval: { rows: 3, contested: 1 },
      });
      expect(idsOf(run, 'evaluations/step-1.jsonl')).toEqual(['Zoe', 'Max', 'Sue']);
      if (!objective.startsWith('mallows')) return;
      expect(idsOf(run, 'dispersion.jsonl')).toEqual(NAMES.slice(2));
      const { records } = readJsonLines(join(run, 'eval-dispersion.jsonl'));
      expect(records).toEqual([
        { id: 'Zoe', negLogDispersion: 1, dispersion: Math.exp(-1) },
        { id: 'Max', negLogDispersion: expect.closeTo(0, 5), dispersion: expect.closeTo(1, 5) },
        { id: 'Sue', negLogDispersion: 1, dispersion: Math.exp(-1) },
      ]);
    },
  );

  it('are trained on where a floor is given', async () => {
    const run = output();
    const notes = await train({ data, evalData, dispersion: { ...votes, floor: 0.1 }, output: run });
    expect(notes.has('contested-pairs')).toBe(false);
    expect(dataOf(run).train).toMatchObject({ rows: 6 });
  });
});

describe('rows and the context of the model', () => {
  const long = pair('Eve', { prompt: 'There was a child. '.repeat(200) });

  it('is the default of the maximum length, where that is shorter', async () => {
    const notes = await train({ data: [...PAIRS, long], evalFraction: 0 });
    expect(notes.has('beyond-context')).toBe(false);
  });

  it('is said to be exceeded', async () => {
    const notes = await train({ data: [...PAIRS, long], evalFraction: 0, maxLength: 4096 });
    expect(notes.get('beyond-context')).toMatch(
      /^1 of 7 rows are longer than the 512 tokens .*\b512 or less\.$/,
    );
  });
});

it('a share to hold out that is none is refused before there is a run', async () => {
  const run = output();
  await expect(train({ data: PAIRS, evalFraction: 1.5, output: run })).rejects.toMatchObject({
    code: 'eval-fraction',
  });
  expect(existsSync(run)).toBe(false);
});
