import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { runMallows } from '../../../tests/support/mallows.ts';
import { preferenceOptions, type TrainRecipe, trainRecipe } from '../../config/index.ts';
import type { PreferenceOptions } from '../../train/index.ts';
import { createContext } from '../context.ts';
import { runRecipe, type TrainFlags, type Training } from './run.ts';

let run: string;
let recipe: string;

beforeEach(() => {
  run = join(mkdtempSync(join(tmpdir(), 'mallows-train-run-')), 'moved');
  recipe = join(run, 'recipe.yaml');
  mkdirSync(run);
  writeFileSync(recipe, 'model: tiny\ndata: pairs.jsonl\noutput: runs/where-it-was\n');
  writeFileSync(join(run, 'provenance.json'), '{}\n');
});

const training: Training<TrainRecipe, PreferenceOptions> = {
  kind: trainRecipe,
  name: 'train',
  describe: () => '',
  options: preferenceOptions,
  train: () => expect.unreachable('nothing is to be trained'),
};

/** The run directory that training is asked for. */
async function outputOf(
  file: string,
  flags: TrainFlags,
  note: (text: string) => void = () => {},
): Promise<string> {
  let output = '';
  const running = runRecipe({ ...createContext(), note }, file, flags, {
    ...training,
    train: async (asked) => {
      output = asked.output!;
      throw new Error('asked');
    },
  });
  await expect(running).rejects.toThrow('asked');
  return output;
}

it('resumes the run that a recipe lies in, unless another place is given', async () => {
  expect(await outputOf(recipe, { resume: true })).toBe(run);
  expect(await outputOf(recipe, {})).toBe('runs/where-it-was');
  expect(await outputOf(recipe, { resume: true, output: 'runs/b' })).toBe('runs/b');
  expect(await outputOf(recipe, { resume: true, set: ['output=runs/c'] })).toBe('runs/c');
});

it('takes a recipe beside no run for one that says where its run is', async () => {
  const mine = join(mkdtempSync(join(tmpdir(), 'mallows-train-run-')), 'recipe.yaml');
  writeFileSync(mine, 'model: tiny\ndata: pairs.jsonl\noutput: runs/mine\n');
  expect(await outputOf(mine, { resume: true })).toBe('runs/mine');
});

it('says what of the recipe holds no longer', async () => {
  writeFileSync(recipe, 'model: tiny\ndata: pairs.jsonl\neval_data: held.jsonl\n');
  const notes: string[] = [];
  await outputOf(recipe, { data: 'mine.jsonl' }, (text) => notes.push(text));
  expect(notes).toContain(`without eval_data of ${recipe}:3, because of --data`);
  const records: object[] = [];
  const context = { ...createContext(), json: true, emit: (record: object) => records.push(record) };
  await runRecipe(context, recipe, { data: 'mine.jsonl', explain: true }, training);
  const dropped = [{ key: 'eval_data', was: `${recipe}:3`, by: '--data' }];
  expect(records).toMatchObject([{ event: 'recipe', dropped }]);
});

it('takes columns of the data from the command line and from the recipe', async () => {
  writeFileSync(recipe, 'model: tiny\ndata: pairs.jsonl\ncolumns: {prompt: query, chosen: good}\n');
  const argv = ['train', recipe, '--column', 'prompt=question', '--column', 'rejected=bad', '--explain'];
  const { stdout } = await runMallows(...argv, '--json');
  expect(JSON.parse(stdout)).toMatchObject({
    recipe: { columns: { prompt: 'question', chosen: 'good', rejected: 'bad' } },
  });
  const explained = await runMallows('sft', recipe, '--column', 'text=review', '--explain');
  expect(explained.stdout).toMatch(/text: review\s.*--column/);
});
