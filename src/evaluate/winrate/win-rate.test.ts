import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { describe, expect, it } from 'vitest';
import { codePoints, type ModelAnnotations, readAnnotations, readGamed, readItems } from './annotations.ts';
import { winRate } from './win-rate.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-winrate-'));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Deterministic uniform numbers in [0, 1). */
function uniform(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => (generator.next() >>> 0) / 2 ** 32;
}

function annotation(preference: number | null, model: string, baseline: string) {
  return {
    instruction: 'Say hello.',
    output_1: baseline,
    generator_1: 'baseline',
    output_2: model,
    generator_2: 'mine',
    dataset: 'helpful_base',
    annotator: 'judge',
    preference,
  };
}

/** A model whose wins come from length alone: equally good at equal length, but writes longer. */
function longWinded(n: number): ModelAnnotations {
  const random = uniform(7);
  const rows = Array.from({ length: n }, (_, index) => {
    const baselineLength = 800 + Math.floor(400 * random());
    const length = baselineLength + Math.floor(900 * (random() - 0.15));
    return { index, baselineLength, length };
  });
  const differences = rows.map((row) => row.baselineLength - row.length);
  const mean = differences.reduce((a, b) => a + b, 0) / n;
  const sd = Math.sqrt(differences.reduce((a, d) => a + (d - mean) ** 2, 0) / (n - 1));
  return {
    model: 'long-winded',
    baseline: 'baseline',
    rows: rows.map((row, i) => ({
      ...row,
      preference: 1 / (1 + Math.exp(2 * Math.tanh(differences[i]! / sd))),
    })),
  };
}

describe('winRate', () => {
  it('computes the win rate and its standard error as worked by hand', async () => {
    // Preferences 1, 0, ½ (written 2, 1, 0): mean ½, sd ½, standard error ½/√3.
    const rows = [annotation(2, 'a', 'bb'), annotation(1, 'aa', 'b'), annotation(0, 'aaa', 'bbb')];
    const [annotations] = await readAnnotations(file('three.json', JSON.stringify(rows)));
    const result = winRate(annotations!);
    expect(result).toMatchObject({ model: 'mine', baseline: 'baseline', n: 3, winRate: 50, missing: 0 });
    expect(result.standardError).toBeCloseTo(50 / Math.sqrt(3), 10);
    expect([result.wins, result.losses, result.ties]).toEqual([1, 1, 1]);
    expect(result.averageLength).toBe(2);
  });

  it('takes the effect of length away', () => {
    const result = winRate(longWinded(800));
    expect(result.winRate).toBeGreaterThan(65);
    expect(Math.abs(result.lcWinRate! - 50)).toBeLessThan(1);
    expect(result.lcCoefficients!.length).toBeCloseTo(-2, 1);
  });

  it('labels the figure approximate unless both the items and the gamed rows are there', () => {
    const annotations = longWinded(40);
    const items = new Map(annotations.rows.map((row) => [row.index, { difficulty: 0 }]));
    const gamed = annotations.rows.map((row) => ({ ...row, model: 'verbose' }));
    expect(winRate(annotations).lcApproximate).toBe(true);
    expect(winRate(annotations, { items }).lcApproximate).toBe(true);
    expect(winRate(annotations, { items, gamed }).lcApproximate).toBe(false);
    expect(winRate(annotations, { items }).notes.join()).toMatch(/without the gamed baselines/);
  });

  it('lets the gamed rows pin the length effect at a tenth of the weight', () => {
    // The model's own rows say nothing about length; the gamed ones say that longer wins.
    const flat: ModelAnnotations = {
      model: 'flat',
      baseline: 'baseline',
      rows: longWinded(300).rows.map((row) => ({ ...row, preference: 0.6 })),
    };
    const items = new Map(flat.rows.map((row) => [row.index, { difficulty: 0 }]));
    const gamed = longWinded(300).rows.map((row) => ({ ...row, model: 'verbose' }));
    const alone = winRate(flat, { items });
    const pinned = winRate(flat, { items, gamed });
    expect(Math.abs(alone.lcCoefficients!.length)).toBeLessThan(0.01);
    expect(pinned.lcCoefficients!.length).toBeLessThan(-0.05);
    expect(pinned.lcWinRate!).toBeLessThan(alone.lcWinRate!);
  });

  it('is 50 for the baseline against itself', async () => {
    const rows = [1.2, 1.9, 1.4].map((p) => ({ ...annotation(p, 'x', 'y'), generator_2: 'baseline' }));
    const [annotations] = await readAnnotations(file('self.json', JSON.stringify(rows)));
    expect(winRate(annotations!).lcWinRate).toBe(50);
  });

  it('has no LC figure without baseline lengths, and says why', async () => {
    const path = file('csv-only.csv', 'model,index,output_len,preference\nm,0,10,1.25\nm,1,12,1.75\n');
    const [annotations] = await readAnnotations(path);
    const result = winRate(annotations!);
    expect(result.lcWinRate).toBeNull();
    expect(result.notes.join()).toContain('without items, the baseline’s lengths are not known');
  });

  it('leaves unjudged rows out and counts them', async () => {
    const rows = [annotation(2, 'a', 'b'), annotation(null, 'a', 'b'), annotation(1.5, 'a', 'b')];
    const [annotations] = await readAnnotations(file('missing.json', JSON.stringify(rows)));
    expect(winRate(annotations!)).toMatchObject({ n: 2, missing: 1, winRate: 75 });
  });
});

describe('readers', () => {
  it('reads the CSV layout gzipped, with several models', async () => {
    const csv = 'model,index,output_len,preference\na,0,10,1.25\nb,0,11,0\na,1,12,2\n';
    const models = await readAnnotations(file('two.csv.gz', gzipSync(csv)));
    expect(models.map((m) => m.model)).toEqual(['a', 'b']);
    expect(models[0]!.rows).toEqual([
      { index: 0, length: 10, preference: 0.25 },
      { index: 1, length: 12, preference: 1 },
    ]);
    expect(models[1]!.rows[0]!.preference).toBe(0.5);
  });

  it('reads items and gamed rows', async () => {
    const items = await readItems(
      file('items.csv', 'index,dataset,baseline_len,instruction_difficulty\n0,koala,12,-1.5\n'),
    );
    expect(items.get(0)).toEqual({ dataset: 'koala', baselineLength: 12, difficulty: -1.5 });
    const gamed = await readGamed(
      file('gamed.csv', 'gamed_model,index,output_len,pseudo_preference\nconcise,0,5,0.25\n'),
    );
    expect(gamed).toEqual([{ model: 'concise', index: 0, length: 5, preference: 0.25 }]);
  });

  it('counts code points, not UTF-16 units', () => {
    expect(codePoints('añ🙂')).toBe(3);
    expect('añ🙂'.length).toBe(4);
  });

  it('names file, row and value of a bad preference', async () => {
    const path = file('bad.csv', 'model,index,output_len,preference\nm,0,10,1.5\nm,1,10,2.5\n');
    await expect(readAnnotations(path)).rejects.toMatchObject({
      code: 'wrong-type',
      at: { file: path, line: 3 },
      message: expect.stringContaining('preference is 2.5; expected a number from 1 to 2'),
    });
  });

  it('names missing columns, duplicated indices and misaligned items', async () => {
    await expect(readAnnotations(file('cols.csv', 'model,index\nm,0\n'))).rejects.toThrow(
      /no output_len; it has model, index/,
    );
    const twice = 'model,index,output_len,preference\nm,0,10,1.5\nm,0,10,1.5\n';
    await expect(readAnnotations(file('twice.csv', twice))).rejects.toThrow(/two rows with index 0/);
    const [annotations] = await readAnnotations(
      file('one.json', JSON.stringify([annotation(2, 'a', 'b'), annotation(1, 'a', 'b')])),
    );
    const koala = new Map([0, 1].map((index) => [index, { difficulty: 0, dataset: 'koala' }]));
    expect(() => winRate(annotations!, { items: koala })).toThrow(/from "helpful_base".*from "koala"/);
    expect(() => winRate(annotations!, { items: new Map() })).toThrow(/the items have none/);
  });
});
