import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RunDirectory, runStart } from './directory.ts';
import type { Provenance } from './records.ts';
import { holdsRun } from './same-run.ts';

const recipe = { model: 'tiny', data: 'pairs.jsonl' };
const origins = {
  started: '2026-11-27T10:00:00.000Z',
  model: { spec: 'tiny', hash: 'aa' },
  data: {
    train: { source: 'pairs.jsonl', hash: 'bb', rows: 12 },
    eval: { source: 'held-out.jsonl', hash: 'cc', rows: 3 },
  },
  precision: { dtype: 'float32', reason: 'fp32 was asked for.' },
};
const shared = { ...origins.data, eval: { heldOutFraction: 0.1, rows: 3 } };

function begun(provenance: Provenance): string {
  const path = join(mkdtempSync(join(tmpdir(), 'mallows-directory-')), 'run');
  RunDirectory.open(path, { recipe, provenance }).close();
  return path;
}

const resume = (path: string, provenance: Provenance) =>
  RunDirectory.open(path, { recipe, provenance, resume: true }).close();

describe('resuming', () => {
  it.each([
    ['the same', origins],
    [
      'the same at another time, under another name',
      {
        ...origins,
        started: '2026-11-28T10:00:00.000Z',
        model: { spec: './tiny', hash: 'aa' },
        data: { ...origins.data, train: { ...origins.data.train, source: 'moved.jsonl' } },
        precision: { dtype: 'float32', reason: 'This CPU has no bf16 instructions.' },
      },
    ],
  ])('accepts what the run began with: %s', (_, now) => {
    const path = begun(origins);
    const written = readFileSync(join(path, 'provenance.json'), 'utf8');
    resume(path, now);
    expect(readFileSync(join(path, 'provenance.json'), 'utf8')).toBe(written);
  });

  it.each([
    ['another model', { model: { hash: 'xx' } }, 'SHA-256 of the model: aa there, xx now'],
    [
      'other training data',
      { data: { ...origins.data, train: { hash: 'xx', rows: 13 } } },
      'SHA-256 of the training data: bb there, xx now; usable rows of the training data: 12 there, 13 now',
    ],
    [
      'other held-out data',
      { data: { ...origins.data, eval: { hash: 'xx', rows: 3 } } },
      'held-out data: SHA-256 cc there, SHA-256 xx now',
    ],
    [
      'a share of the data where held-out data were',
      { data: shared },
      'held-out data: SHA-256 cc there, 0.1 of the training data now',
    ],
    ['another precision', { precision: { dtype: 'bfloat16' } }, 'precision: float32 there, bfloat16 now'],
  ])('refuses %s, and names it', (_, now, words) => {
    const path = begun(origins);
    expect(() => resume(path, { ...origins, ...now })).toThrowError(
      expect.objectContaining({
        code: 'run-differs',
        message: expect.stringContaining(`${words}.`),
        hint: expect.stringContaining('provenance.json'),
      }),
    );
    // The refusal holds no lock and changes nothing.
    resume(path, origins);
  });

  it('refuses held-out data where a share of the data was', () => {
    expect(() => resume(begun({ ...origins, data: shared }), origins)).toThrowError(
      /held-out data: 0\.1 of the training data there, SHA-256 cc now/,
    );
  });

  it('refuses another draw of the share', () => {
    const drawn = (heldOutSeed: number) => ({
      ...origins,
      data: { ...shared, eval: { ...shared.eval, heldOutSeed } },
    });
    expect(() => resume(begun(drawn(0)), drawn(2))).toThrowError(
      /training data there, .*drawn with seed 2 now/,
    );
    // Before shares had a seed of their own, the training's drew them.
    const before = { ...origins, data: shared, seed: 7 };
    expect(() => resume(begun(before), { ...drawn(0), seed: 7 })).toThrowError(/drawn with seed 7 there/);
  });

  it.each([
    ['nothing', {}],
    ['no data', { model: origins.model, precision: origins.precision }],
    ['no hashes of data', { ...origins, data: { train: { rows: 12 }, eval: { rows: 3 } } }],
  ])('trusts a run whose provenance says %s', (_, there) => {
    resume(begun(there), origins);
    resume(begun(origins), there);
  });

  it('trusts a run whose provenance is gone', () => {
    const path = begun(origins);
    rmSync(join(path, 'provenance.json'));
    resume(path, origins);
  });

  it('began when its provenance says, where it goes on', () => {
    const path = begun({ ...origins, started: '2026-03-07T12:00:00.000Z' });
    expect(runStart(path, { resume: true }).toISOString()).toBe('2026-03-07T12:00:00.000Z');
    for (const anew of [{}, { resume: true, overwrite: true }]) {
      expect(runStart(path, anew).getTime()).toBeGreaterThan(Date.now() - 1000);
    }
    rmSync(join(path, 'provenance.json'));
    expect(runStart(path, { resume: true }).getTime()).toBeGreaterThan(Date.now() - 1000);
  });

  it('compares what a recipe says, not in which order', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'mallows-directory-')), 'run');
    const optimizer = { name: 'adamw', betas: [0.9, 0.999], lr: 1e-6 };
    const open = (asked: object) =>
      RunDirectory.open(path, { recipe: asked, provenance: {}, resume: true }).close();
    open({ model: 'tiny', optimizer });
    const { name, betas, lr } = optimizer;
    const reordered = { optimizer: { lr, name, betas }, model: 'tiny' };
    open(reordered);
    expect(holdsRun(path, reordered)).toBe('same');
    for (const [other, words] of [
      [
        { ...reordered, optimizer: { ...optimizer, lr: 2e-6 } },
        /"optimizer\.lr: 0\.000001" there, "optimizer\.lr: 0\.000002" asked for/,
      ],
      [
        { ...reordered, optimizer: { ...optimizer, betas: [0.999, 0.9] } },
        /"optimizer\.betas\.0: 0\.9" there/,
      ],
      [{ ...reordered, steps: 3 }, /no steps there, "steps: 3" asked for/],
      [{ model: 'tiny' }, /"optimizer\.name: adamw" there, no optimizer\.name asked for/],
      [{ model: 'tiny', optimizer: {} }, /no optimizer there, "optimizer: {}" asked for/],
    ] as const) {
      expect(() => open(other)).toThrowError(words);
      expect(holdsRun(path, other)).toBe('other');
    }
  });

  it('compares nothing that does not decide what is computed, and says what may show in the last digits', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'mallows-directory-')), 'run');
    const notices: string[] = [];
    const open = (place: { output: string; threads?: number; checkpoint?: object }, threads: number) =>
      RunDirectory.open(path, {
        recipe: { ...recipe, ...place },
        provenance: { ...origins, threads },
        resume: true,
        notice: (code, message) => notices.push(`${code}: ${message}`),
      }).close();
    open({ output: 'runs/a' }, 4);
    open({ output: '/big/a', threads: 4, checkpoint: { every: 5 } }, 4);
    expect(holdsRun(path, { ...recipe, output: '/elsewhere' })).toBe('same');
    expect(notices).toEqual([]);
    open({ output: '/big/a', threads: 2 }, 2);
    expect(notices).toEqual([expect.stringMatching(/^other-threads: .* 4 CPU threads .* with 2:/)]);
  });

  it('compares the recipe first', () => {
    const path = begun(origins);
    writeFileSync(join(path, 'recipe.yaml'), 'model: other\n');
    expect(() => resume(path, { ...origins, model: { hash: 'xx' } })).toThrowError(/another recipe/);
  });
});

describe('overwriting', () => {
  it('sets aside what was made with the model that goes, and says where', () => {
    const path = begun(origins);
    const made = [
      'answers.jsonl',
      'judged.a.jsonl',
      'judged.cache.jsonl',
      'judged.summary.json',
      'rewards.jsonl',
    ];
    for (const name of [...made, 'notes.jsonl']) writeFileSync(join(path, name), name);
    const notices: string[] = [];
    const notice = (code: string, message: string) => notices.push(`${code}: ${message}`);
    RunDirectory.open(path, { recipe, provenance: origins, overwrite: true, notice }).close();
    expect(readdirSync(path).filter((name) => name.endsWith('.jsonl'))).toEqual(['notes.jsonl']);
    const aside = join(path, 'replaced', readdirSync(join(path, 'replaced'))[0]!);
    expect(readdirSync(aside).sort()).toEqual(made);
    expect(readFileSync(join(aside, 'judged.cache.jsonl'), 'utf8')).toBe('judged.cache.jsonl');
    expect(notices).toEqual([expect.stringMatching(/^set-aside: /)]);
    expect(notices[0]).toContain(aside);
    RunDirectory.open(path, { recipe, provenance: origins, overwrite: true, notice }).close();
    expect(notices).toHaveLength(1);
  });
});
