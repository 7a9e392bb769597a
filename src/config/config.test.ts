import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { UsageError } from '../errors.ts';
import { explainRecipe, resolveRecipe, sftRecipe, trainRecipe, writtenRecipe } from './index.ts';

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
    expect(recipe).toMatchObject({ model: 'smollm2-135m', steps: 10, seed: 2 });
    expect(originOf(['objective', 'name'])).toBe('--objective');
    expect(originOf(['objective', 'beta'])).toBe('--set');
    expect(originOf(['steps'])).toMatch(/recipe\.yaml:6$/);
    expect(originOf(['optimizer', 'name'])).toBe('default');
  });

  it('fills in what depends on other keys', () => {
    const full = resolveRecipe(trainRecipe, { file: recipeFile(minimal) }).recipe;
    expect(full).toMatchObject({ epochs: 1, optimizer: { name: 'adamw', lr: 1e-6 }, batch: { pairs: 8 } });
    const adapted = resolveRecipe(trainRecipe, { file: recipeFile(`${minimal}lora: {rank: 8}\n`) }).recipe;
    expect(adapted).toMatchObject({ lora: { rank: 8, alpha: 16 }, optimizer: { lr: 1e-4 } });
    const scaled = resolveRecipe(trainRecipe, { file: recipeFile(`${minimal}lora: {alpha: 8}\n`) }).recipe;
    expect(scaled.lora).toMatchObject({ rank: 16, alpha: 8 });
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

  it('removes a key with null, whose default is a default again', () => {
    const file = recipeFile(`${minimal}eval_data: held.jsonl\noptimizer: {lr: 1e-5}\nlora: {rank: 8}\n`);
    const plain = resolveRecipe(trainRecipe, {
      file,
      set: ['eval_data=null', 'lora=~', 'optimizer.lr=null', 'steps=null'],
    });
    expect(plain.recipe).not.toHaveProperty('eval_data');
    expect(plain.recipe).not.toHaveProperty('lora');
    expect(plain.recipe.optimizer.lr).toBe(1e-6);
    expect(plain.originOf(['optimizer', 'lr'])).toBe('default');
    expect(plain.dropped.map(({ key }) => key)).toEqual(['eval_data', 'lora', 'optimizer.lr']);
    const anew = resolveRecipe(trainRecipe, { file, set: ['lora=null', 'lora.merge=true'] });
    expect(anew.recipe.lora).toMatchObject({ rank: 16, merge: true });
    expect(anew.dropped).toMatchObject([
      { key: 'lora.rank', was: expect.stringMatching(/:5$/), by: '--set' },
    ]);
    const required = failure(() => resolveRecipe(trainRecipe, { file, set: ['data=null'] }));
    expect(required.message).toMatch(/data: is required$/m);
    // What an empty shell variable leaves, and a null where nothing could be removed.
    expect(failure(() => resolveRecipe(trainRecipe, { file, set: ['eval_data='] }))).toMatchObject({
      code: 'set-syntax',
      hint: expect.stringContaining('--set eval_data=null removes the key'),
    });
    const bare = failure(() => resolveRecipe(trainRecipe, { file: recipeFile(`${minimal}lora:\n`) }));
    expect(bare.message).toContain('lora: null is wrong');
  });

  it('refuses to remove a key that there is not', () => {
    const file = recipeFile(`${minimal}objective: {name: simpo}\n`);
    const removing = (...keys: string[]) => ({ file, set: keys.map((key) => `${key}=null`) });
    const { message } = failure(() =>
      resolveRecipe(
        trainRecipe,
        removing('eval_dat', 'frobnicate', 'lora.rnak', 'optimizer.lr.x', 'objective.gammaBetaRatio'),
      ),
    );
    expect(message).toContain('5 problems');
    expect(message).toMatch(/^ {2}eval_dat: unknown key; did you mean eval_data\?$/m);
    expect(message).toMatch(/^ {2}frobnicate: unknown key; the keys here are model, data, /m);
    expect(message).toMatch(/^ {2}lora\.rnak: unknown key; did you mean rank\?$/m);
    expect(message).toMatch(/^ {2}optimizer\.lr\.x: unknown key; there are no keys here$/m);
    expect(message).toMatch(/^ {2}objective\.gammaBetaRatio: unknown key; did you mean gamma_beta_ratio\?$/m);
    // Keys of another objective may go along with it, and a map of columns has any.
    const known = removing('objective', 'objective.name', 'objective.label_smoothing', 'columns.prompt');
    expect(() => resolveRecipe(trainRecipe, known)).not.toThrow();
  });

  it('leaves out the file’s eval_data when the command line gives other data', () => {
    const file = recipeFile(`${minimal}eval_data: held.jsonl\n`);
    const data = [{ flag: '--data', path: ['data'], value: 'mine.jsonl' }];
    const other = resolveRecipe(trainRecipe, { file, flags: data });
    expect(other.recipe).toMatchObject({ data: 'mine.jsonl', eval_fraction: 0.1 });
    expect(other.recipe).not.toHaveProperty('eval_data');
    expect(explainRecipe(other)).toMatch(/^# without eval_data of .*recipe\.yaml:3, because of --data$/m);
    const both = resolveRecipe(sftRecipe, { file, flags: data, set: ['eval_data=held.jsonl'] });
    expect(both.recipe).toMatchObject({ data: 'mine.jsonl', eval_data: 'held.jsonl' });
    expect(both.dropped).toEqual([]);
    const again = [{ flag: '--data', path: ['data'], value: 'pairs.jsonl' }];
    const repeated = resolveRecipe(trainRecipe, { file, flags: again });
    expect(repeated.recipe).toHaveProperty('eval_data', 'held.jsonl');
    expect(repeated.originOf(['eval_data'])).toMatch(/recipe\.yaml:3$/);
    expect(repeated.dropped).toEqual([]);
    const same = resolveRecipe(trainRecipe, { file, set: ['eval_data=more.jsonl'] }).recipe;
    expect(same).toMatchObject({ data: 'pairs.jsonl', eval_data: 'more.jsonl' });
  });

  it('writes the options of objectives in snake_case, and gives them to the library in camelCase', () => {
    const file = recipeFile(`${minimal}objective:\n  name: simpo\n  gamma_beta_ratio: 0.5\n`);
    const { recipe } = resolveRecipe(trainRecipe, { file });
    expect(recipe.objective).toEqual({ name: 'simpo', beta: 10, gammaBetaRatio: 0.5, dispersion: false });
    expect(writtenRecipe(recipe).objective).toHaveProperty('gamma_beta_ratio', 0.5);
    const set = ['objective.gammaBetaRatio=0.5', 'objective.dispersion=3', 'objective.frobnicate=1'];
    const { message } = failure(() => resolveRecipe(trainRecipe, { file, set }));
    expect(message).toContain('3 problems');
    expect(message).toMatch(/objective\.gammaBetaRatio: unknown key; did you mean gamma_beta_ratio\?/);
    expect(message).toMatch(/objective\.dispersion: received 3, expected true \| false {2}/);
    expect(message).toMatch(/objective\.frobnicate: unknown key; the keys here are beta, gamma_beta_ratio, /);
    const value = failure(() => resolveRecipe(trainRecipe, { file, set: ['objective.gamma_beta_ratio=-1'] }));
    expect(value.message).toContain('objective.gamma_beta_ratio: received -1, expected number ≥ 0');
  });

  it('checks the optimiser’s coefficients before anything is trained', () => {
    const file = recipeFile(`${minimal}optimizer:\n  name: sgd\n  nesterov: true\n  dampening: 0.1\n`);
    const { message } = failure(() => resolveRecipe(trainRecipe, { file }));
    expect(message).toMatch(/optimizer\.nesterov: needs optimizer\.momentum above 0.*recipe\.yaml:5\)/);
    expect(message).toMatch(/optimizer\.dampening: must be 0 .* received 0\.1.*recipe\.yaml:6\)/);
    const fine = ['optimizer.momentum=0.9', 'optimizer.dampening=0'];
    expect(() => resolveRecipe(sftRecipe, { file, set: fine })).not.toThrow();
    const still = failure(() =>
      resolveRecipe(trainRecipe, {
        file: recipeFile(minimal),
        set: ['optimizer.betas=[0.9, 1]', 'optimizer.alpha=1', 'steps=1', 'epochs=1'],
      }),
    );
    expect(still.message).toContain('optimizer.betas.1: 1 is wrong');
    expect(still.message).toContain('optimizer.alpha: 1 is wrong');
    expect(still.message).toContain('steps: excludes epochs');
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
    failure(() => resolveRecipe(trainRecipe, { set: ['__proto__.toString=null'] }));
    expect(Object.hasOwn(Object.prototype, 'toString')).toBe(true);
  });
});

describe('explainRecipe', () => {
  it('prints YAML that resolves to the same recipe, with origins', () => {
    const resolved = resolveRecipe(trainRecipe, {
      file: recipeFile(
        `${minimal}objective: {name: alpha-dpo, beta: 0.1}\nlora: {target_modules: [q_proj, v_proj]}\n`,
      ),
      set: ['output="runs/a: b"'],
    });
    const text = explainRecipe(resolved);
    expect(text).toMatch(/^model: smollm2-135m +# .*recipe\.yaml:1$/m);
    expect(text).toMatch(/^ {2}lr: 0\.0001 +# default$/m);
    expect(text).toMatch(/^output: "runs\/a: b" +# --set$/m);
    const again = resolveRecipe(trainRecipe, { file: recipeFile(text) });
    expect(again.recipe).toEqual(resolved.recipe);
    expect(parse(text)).toEqual(JSON.parse(JSON.stringify(writtenRecipe(resolved.recipe))));
  });
});
