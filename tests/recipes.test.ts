import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { hubSettings, resolveModel } from '../src/checkpoints/index.ts';
import { resolveRecipe, sftRecipe, trainRecipe } from '../src/config/index.ts';
import { NAMED_DATASETS } from '../src/data/sources/named.ts';
import { ALIGNMENT_SCALES } from '../src/experiments/alignment/settings.ts';
import { IMDB_SCALES } from '../src/experiments/imdb/settings.ts';

const files = readdirSync('recipes').filter((name) => name.endsWith('.yaml'));

it.each(files)('recipes/%s is a recipe, and says how to run it', (name) => {
  const file = `recipes/${name}`;
  const sft = name.endsWith('-sft.yaml');
  const { recipe } = resolveRecipe<typeof trainRecipe.schema | typeof sftRecipe.schema>(
    sft ? sftRecipe : (trainRecipe as never),
    { file },
  );
  expect(recipe.output).toMatch(/^runs\//);
  // A file beside the recipe would be found from one directory only; each is named, or made by a command that it names.
  for (const data of [recipe.data, recipe.eval_data ?? recipe.data]) {
    expect(NAMED_DATASETS.has(data) || readFileSync(file, 'utf8').includes(`leaves in ${data}`), data).toBe(
      true,
    );
  }
  expect(readFileSync(file, 'utf8')).toContain('mallows ');
});

it('HH is trained as the paper says', () => {
  const { recipe } = resolveRecipe(trainRecipe, { file: 'recipes/hh.yaml' });
  expect(recipe).toMatchObject({
    objective: { name: 'mallows-theta', beta: 0.1 },
    optimizer: { name: 'rmsprop', lr: 1e-6 },
    schedule: { warmup_steps: 150 },
    batch: { pairs: 32, accumulate: 1 },
  });
});

it.each([
  IMDB_SCALES.paper.model,
  ALIGNMENT_SCALES.hh.paper.model,
  ALIGNMENT_SCALES.ultrafeedback.paper.model,
])('the paper’s %s is a name that the hub is asked for', async (model) => {
  // Where the hub may not be asked: what is no name at all fails as one before that.
  const hub = { ...hubSettings({ HF_HUB_OFFLINE: '1' }), cacheDirectory: 'no-such-cache' };
  await expect(resolveModel(model, { hub })).rejects.toMatchObject({ code: 'hub-offline' });
});
