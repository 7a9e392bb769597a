import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stage, trainingStage } from './stages.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-stages-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('stage', () => {
  it('computes once for the same settings', async () => {
    let computed = 0;
    const run = (settings: object) =>
      stage(join(folder, 'a/result.json'), 'a', settings, {}, async () => ++computed);
    expect([await run({ n: 1 }), await run({ n: 1, unset: undefined }), await run({ n: 2 })]).toEqual([
      1, 1, 2,
    ]);
  });
});

describe('trainingStage', () => {
  it('keeps a model that has its weights, and not one that was being saved', async () => {
    const path = join(folder, 'run');
    const model = join(path, 'model');
    mkdirSync(model, { recursive: true });
    writeFileSync(join(path, 'recipe.yaml'), 'epochs: 1\n');
    writeFileSync(join(model, 'config.json'), '{}');
    const places: unknown[] = [];
    const run = (recipe: object) =>
      trainingStage(path, 'sft', recipe, {}, async ({ resume, overwrite }) => {
        places.push({ resume, overwrite });
        return { status: 'finished', model: { model: { dispose: () => {} } } };
      });
    expect(await run({ epochs: 1 })).toBe(model);
    writeFileSync(join(model, 'model.safetensors'), '');
    await run({ epochs: 1 });
    await run({ epochs: 2 });
    expect(places).toEqual([
      { resume: true, overwrite: false },
      { resume: false, overwrite: true },
    ]);
  });
});
