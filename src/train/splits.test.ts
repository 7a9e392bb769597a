import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
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

  it.each(['dpo', 'simpo'])(
    'need no votes to be evaluated by one that weighs nothing: %s',
    async (objective) => {
      const run = output();
      const unvoted = [pair('Zoe'), pair('Max', contested), pair('Sue')];
      const notes = await train({ data, evalData: unvoted, objective, dispersion: votes, output: run });
      expect(notes.get('contested-pairs')).toMatch(/ 1 contested held-out pair \(Max\) is evaluated/);
      expect(dataOf(run).eval).toMatchObject({ rows: 3, contested: 1 });
      const weighing = train({ data, evalData: unvoted, objective: 'mallows-phi', dispersion: votes });
      await expect(weighing).rejects.toMatchObject({ code: 'missing-votes' });
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
    const run = output();
    const notes = await train({ data: [...PAIRS, long], evalFraction: 0, output: run });
    expect(notes.has('beyond-context')).toBe(false);
    expect(dataOf(run).maxLength).toBe(512);
  });

  it('is recorded as what was asked for', async () => {
    const run = output();
    const votes = { chosen: 3, rejected: 0 };
    const data = PAIRS.map((one) => ({ ...one, votes }));
    const evalData = data.slice(0, 2);
    await train({ data, evalData, dispersion: { source: 'votes' }, maxLength: 40, output: run });
    expect(dataOf(run)).toMatchObject({ maxLength: 40, train: { contested: 0 } });
  });

  it('is said to be exceeded', async () => {
    const notes = await train({ data: [...PAIRS, long], evalFraction: 0, maxLength: 4096 });
    expect(notes.get('beyond-context')).toMatch(
      /^1 of 7 rows are longer than the 512 tokens .*\b512 or less\.$/,
    );
  });
});

describe('a run that is stopped before training', () => {
  it('reads no further row, and closes the stream of rows', async () => {
    const stop = new AbortController();
    let given = 0;
    let isClosed = false;
    function* rows() {
      try {
        for (;;) {
          given++;
          yield pair(`number ${given}`);
          if (given === 10) stop.abort();
        }
      } finally {
        isClosed = true;
      }
    }
    const training = train({ data: rows(), signal: stop.signal });
    await expect(training).rejects.toMatchObject({ name: 'AbortError' });
    expect([given, isClosed]).toEqual([11, true]);
  });

  it('tokenises no further row, and leaves no run', async () => {
    const stop = new AbortController();
    const run = output();
    const training = trainSft({
      model: STORIES,
      data: PAIRS.map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen })),
      evalData: [{ id: 'Zoe', prompt: 'A child.', completion: ' It was.' }],
      steps: 1,
      dtype: 'fp32',
      output: run,
      signal: stop.signal,
      observer: (event) => event.type === 'data' && stop.abort(),
    });
    await expect(training).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(run)).toBe(false);
  });
});

describe('a run that goes on', () => {
  const evalData = Array.from({ length: 12 }, (_, index) => pair(`number ${index}`));
  const begin = async (objective: string) => {
    const run = output();
    const stop = new AbortController();
    const options = {
      data: PAIRS,
      evalData,
      evaluation: { maxPairs: 4 },
      objective,
      steps: 2,
      // Says nothing of how held-out rows are drawn.
      recipe: { name: 'test' },
      output: run,
    };
    const probe = async () => {
      stop.abort();
      return {};
    };
    await train({ ...options, probe, signal: stop.signal });
    return { run, options: { ...options, resume: true } };
  };

  it('evaluates the pairs that it began with', async () => {
    const { run, options } = await begin('dpo');
    await expect(train({ ...options, evalSeed: 7 })).rejects.toMatchObject({
      code: 'run-differs',
      message: expect.stringMatching(/SHA-256 of the ids of evaluated rows: \w{64} there, \w{64} now/),
    });
    await train(options);
    expect(new RunReader(run).metrics().at(-1)).toHaveProperty('eval_loss_change');
  });

  it('says that it evaluates others where it does not know which it began with', async () => {
    const { run, options } = await begin('simpo');
    const file = join(run, 'provenance.json');
    const provenance = JSON.parse(readFileSync(file, 'utf8'));
    delete provenance.data.eval.idsHash;
    writeFileSync(file, JSON.stringify(provenance));
    const notes = await train({ ...options, evalSeed: 7 });
    expect(notes.get('other-evaluated-pairs')).toMatch(/^The run began with other held-out pairs/);
    expect(new RunReader(run).metrics().at(-1)).not.toHaveProperty('eval_loss_change');
  });
});

it.each([0, -1, 1.5, Number.NaN])(
  'refuses to evaluate on %d pairs, or to keep as many checkpoints',
  async (count) => {
    const evaluating = train({ data: PAIRS, evaluation: { maxPairs: count } });
    await expect(evaluating).rejects.toMatchObject({ code: 'eval-pairs' });
    const run = output();
    const keeping = train({ data: PAIRS, output: run, checkpoint: { keep: count } });
    await expect(keeping).rejects.toMatchObject({ code: 'checkpoint-keep' });
    expect(existsSync(run)).toBe(false);
  },
);

it('a share to hold out that is none is refused before there is a run', async () => {
  const run = output();
  await expect(train({ data: PAIRS, evalFraction: 1.5, output: run })).rejects.toMatchObject({
    code: 'eval-fraction',
  });
  expect(existsSync(run)).toBe(false);
});
