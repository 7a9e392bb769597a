import { expect, it } from 'vitest';
import { createObjective, type ObjectiveOptions } from '../objectives/index.ts';
import {
  preferenceOptions,
  readPreferenceRecipe,
  readSftRecipe,
  resolveRecipe,
  trainRecipe,
} from './index.ts';

it('a recipe’s objective goes to the library in its names, and into the run directory in the recipe’s', () => {
  const set = ['model=m', 'data=d', 'lora={rank: 4}', 'objective={name: cdpo, label_smoothing: 0.2}'];
  const { recipe } = resolveRecipe(trainRecipe, { set });
  expect(createObjective(recipe.objective as ObjectiveOptions).name).toBe('cdpo');
  const { lora, recipe: kept } = preferenceOptions(recipe);
  expect(lora).toMatchObject({ rank: 4, alpha: 8 });
  expect(kept).toMatchObject({ objective: { name: 'cdpo', label_smoothing: 0.2 }, lora: { alpha: 8 } });
  // What is kept is a recipe that goes on with the run.
  const flags = Object.entries(kept as object).map(([key, value]) => ({ flag: key, path: [key], value }));
  expect(resolveRecipe(trainRecipe, { flags }).recipe).toEqual(recipe);
});

it('leaves it to the library how often the clock asks for checkpoints, unless it is said', () => {
  const checkpointOf = (...set: string[]) =>
    preferenceOptions(resolveRecipe(trainRecipe, { set: ['model=m', 'data=d', ...set] }).recipe).checkpoint;
  expect(checkpointOf()).toEqual({ every: 0, keep: 1 });
  expect(checkpointOf('checkpoint.every=50', 'checkpoint.keep=3')).toEqual({ every: 50, keep: 3 });
  expect(checkpointOf('checkpoint.minutes=5')).toEqual({ every: 0, minutes: 5, keep: 1 });
});

it('a program reads a recipe as the command does', () => {
  const { options, matmulPrecision } = readPreferenceRecipe('quickstart', [
    'objective.name=dpo',
    'steps=3',
    'output=runs/mine',
  ]);
  expect(options).toMatchObject({
    objective: { name: 'dpo' },
    steps: 3,
    output: 'runs/mine',
    reading: { style: 'auto' },
  });
  expect(matmulPrecision).toBe('highest');
  expect(() => readPreferenceRecipe(undefined, ['model=m', 'data=d', 'stpes=3'])).toThrow(/steps/);
  expect(readSftRecipe(undefined, ['model=m', 'data=d', 'threads=2']).threads).toBe(2);
});
