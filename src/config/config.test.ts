import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { UsageError } from '../errors.ts';
import { explainRecipe, resolveRecipe, sftRecipe, trainRecipe } from './index.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'recipe-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function recipeFile(text: string): string {
  const file = join(directory, 'recipe.yaml');
  writeFileSync(file, text);
  return file;
}

function failure(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('expected a UsageError');
}

const minimal = 'model: smollm2-135m\ndata: pairs.jsonl\n';

describe('resolveRecipe', () => {
  it('lets flags win over --set, --set over the file, the file over defaults', () => {
    const { recipe, originOf } = resolveRecipe(trainRecipe, {
      file: recipeFile(`${minimal}objective:\n  name: dpo\n  beta: 0.2\nsteps: 10\nseed: 1\n`),
      set: ['objective.beta=0.05', 'seed=2'],
      flags: [
        { flag: '--objective', path: ['objective', 'name'], value: 'ipo' },
        { flag: '--model', path: ['model'], value: undefined },
      ],
    });
    expect(recipe.objective).toMatchObject({ name: 'ipo', beta: 0.05 });
    expect(recipe).toMatchObject({ model: 'smollm2-135m', steps: 10, seed: 2, max_length: 1024 });
    expect(originOf(['objective', 'name'])).toBe('--objective');
    expect(originOf(['objective', 'beta'])).toBe('--set');
    expect(originOf(['steps'])).toMatch(/recipe\.yaml:6$/);
    expect(originOf(['optimizer', 'name'])).toBe('default');
  });

  it('fills in what depends on other keys', () => {
    const full = resolveRecipe(trainRecipe, { file: recipeFile(minimal) }).recipe;
    expect(full).toMatchObject({ epochs: 1, optimizer: { name: 'adamw', lr: 1e-6 }, batch: { pairs: 8 } });
    const adapted = resolveRecipe(trainRecipe, { file: recipeFile(`${minimal}lora: {rank: 8}\n`) }).recipe;
    expect(adapted).toMatchObject({ lora: { rank: 8, alpha: 32 }, optimizer: { lr: 1e-4 } });
    expect(resolveRecipe(sftRecipe, { file: recipeFile(minimal) }).recipe.optimizer.lr).toBe(2e-5);
  });

  it('reports every problem at once, with suggestions and places', () => {
    const file = recipeFile(
      'modle: x\ndata: d\noptimizer:\n  nmae: adamw\n  lr: fast\nschedule: {name: cosin}\nbatch: {pairs: 0}\n',
    );
    const { message, code, at } = failure(() => resolveRecipe(trainRecipe, { file }));
    expect(code).toBe('recipe-invalid');
    expect(at).toMatchObject({ file });
    expect(message).toContain('6 problems');
    expect(message).toMatch(/model: is required/);
    expect(message).toMatch(/modle: unknown key; did you mean model\? {2}\(.*recipe\.yaml:1\)/);
    expect(message).toMatch(/optimizer\.nmae: unknown key; did you mean name\? {2}\(.*:4\)/);
    expect(message).toMatch(/optimizer\.lr: "fast" is wrong: expected number.*:5\)/);
    expect(message).toMatch(
      /schedule\.name: "cosin" is not one of linear, cosine, constant; did you mean cosine\?/,
    );
    expect(message).toMatch(/batch\.pairs: 0 is wrong/);
  });

  it('asks the registry about the objective and fills in its defaults', () => {
    const { recipe } = resolveRecipe(trainRecipe, { file: recipeFile(minimal) });
    expect(recipe.objective).toMatchObject({ name: 'mallows-theta', beta: 0.1 });
    const wrong = failure(() =>
      resolveRecipe(trainRecipe, {
        file: recipeFile(minimal),
        set: ['objective.name=mallows-teta', 'objective.bta=1', 'steps=1', 'epochs=2'],
      }),
    );
    expect(wrong.message).toContain("Did you mean 'mallows-theta'?");
    expect(wrong.message).toContain('steps: excludes epochs');
  });

  it('lets a later layer replace a key that excludes its own', () => {
    const file = recipeFile(`${minimal}epochs: 3\nbatch: {tokens: 4096, accumulate: 2}\n`);
    const { recipe } = resolveRecipe(trainRecipe, { file, set: ['steps=2', 'batch.pairs=4'] });
    expect(recipe.steps).toBe(2);
    expect(recipe).not.toHaveProperty('epochs');
    expect(recipe.batch).toMatchObject({ pairs: 4, accumulate: 2 });
    expect(recipe.batch).not.toHaveProperty('tokens');
  });

  it('checks rules between keys', () => {
    const both = failure(() =>
      resolveRecipe(trainRecipe, {
        file: recipeFile(minimal),
        set: [
          'steps=3',
          'epochs=1',
          'optimizer.name=adamw',
          'optimizer.alpha=0.9',
          'batch={pairs: 2, tokens: 99, bucket: true, group_prompts: true}',
        ],
      }),
    );
    expect(both.message).toContain('steps: excludes epochs');
    expect(both.message).toContain('batch.pairs: excludes batch.tokens');
    expect(both.message).toContain('batch.group_prompts: excludes batch.bucket');
    expect(both.message).toContain('optimizer.alpha: adamw has no alpha; it has betas, epsilon');
  });

  it('refuses updates that an objective cannot work with', () => {
    const file = recipeFile(`${minimal}objective: {name: alpha-dpo}\nbatch:\n  pairs: 1\n  accumulate: 64\n`);
    const { message } = failure(() => resolveRecipe(trainRecipe, { file }));
    expect(message).toMatch(/batch\.accumulate: must be 1 with 'alpha-dpo', received 64.*recipe\.yaml:6\)/);
    expect(message).toMatch(
      /batch\.pairs: must be at least 2 with 'alpha-dpo', received 1.*recipe\.yaml:5\)/,
    );
    const fine = [['batch.pairs=64', 'batch.accumulate=1'], ['objective.name=dpo'], ['objective.alpha=0']];
    for (const set of fine) expect(() => resolveRecipe(trainRecipe, { file, set })).not.toThrow();
    const byTokens = failure(() =>
      resolveRecipe(trainRecipe, {
        file: recipeFile(minimal),
        set: ['objective.name=beta-dpo', 'batch.tokens=4096'],
      }),
    );
    expect(byTokens.message).toContain("batch.tokens: cannot be used with 'beta-dpo'");
  });

  it('names line and column of a YAML error, and a missing file', () => {
    const syntax = failure(() => resolveRecipe(trainRecipe, { file: recipeFile('model: a\ndata: ]b\n') }));
    expect(syntax.code).toBe('recipe-syntax');
    expect(syntax.message).toMatch(/recipe\.yaml:2:\d+: /);
    expect(syntax.at?.line).toBe(2);
    const missing = failure(() => resolveRecipe(trainRecipe, { file: join(directory, 'none.yaml') }));
    expect(missing.code).toBe('recipe-missing');
    expect(failure(() => resolveRecipe(trainRecipe, { set: ['seed'] })).code).toBe('set-syntax');
  });

  it('does not let a key reach the prototype', () => {
    failure(() => resolveRecipe(trainRecipe, { file: recipeFile(minimal), set: ['__proto__.polluted=1'] }));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('explainRecipe', () => {
  it('prints YAML that resolves to the same recipe, with origins', () => {
    const resolved = resolveRecipe(trainRecipe, {
      file: recipeFile(
        `${minimal}objective: {name: mallows-phi, beta: 0.1}\nlora: {target_modules: [q_proj, v_proj]}\n`,
      ),
      set: ['output="runs/a: b"'],
    });
    const text = explainRecipe(resolved);
    expect(text).toMatch(/^model: smollm2-135m +# .*recipe\.yaml:1$/m);
    expect(text).toMatch(/^ {2}lr: 0\.0001 +# default$/m);
    expect(text).toMatch(/^output: "runs\/a: b" +# --set$/m);
    const again = resolveRecipe(trainRecipe, { file: recipeFile(text) });
    expect(again.recipe).toEqual(resolved.recipe);
    expect(parse(text)).toEqual(JSON.parse(JSON.stringify(resolved.recipe)));
  });
});
