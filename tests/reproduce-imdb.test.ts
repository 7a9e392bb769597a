import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadPairs } from '../src/data/index.ts';
import { TextClassifier } from '../src/evaluate/index.ts';
import { binaryCrossEntropy } from '../src/evaluate/reward/label-task.ts';
import { differenceAtEqualKl } from '../src/experiments/imdb/claims.ts';
import { IMDB_SCALES, type ImdbSettings, runImdb, writeImdbReport } from '../src/experiments/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-imdb-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';

describe('binaryCrossEntropy', () => {
  it('is −log σ(±s), with the slope of finite differences', () => {
    const labels = [1, 0, 1, 0] as const;
    const scores = Float64Array.of(0.7, -1.3, -40, 40);
    const { losses, slopes } = binaryCrossEntropy([0, 1, 2, 3], scores, labels);
    expect(losses[0]).toBeCloseTo(Math.log(1 + Math.exp(-0.7)), 12);
    expect(losses[1]).toBeCloseTo(Math.log(1 + Math.exp(-1.3)), 12);
    expect(losses[2]).toBeCloseTo(40, 12);
    const h = 1e-6;
    for (const i of labels.keys()) {
      const at = (shift: number) =>
        binaryCrossEntropy(
          [0, 1, 2, 3],
          scores.map((s, k) => (k === i ? s + shift : s)),
          labels,
        ).losses[i]!;
      expect(slopes[i]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 6);
    }
  });
});

describe('frontiers at equal KL', () => {
  const moment = (kl: number, accuracy: number) => ({ step: 0, kl, accuracy, probability: accuracy });
  const line = [moment(0, 0.5), moment(2, 0.7), moment(4, 0.9)];
  it('compares up to the shorter one’s end', () => {
    const higher = [moment(0, 0.5), moment(1, 0.7)];
    const found = differenceAtEqualKl(higher, line)!;
    expect(found.upTo).toBe(1);
    expect(found.difference).toBeCloseTo((0.025 + 0.05 + 0.075 + 0.1) / 4, 12);
    expect(differenceAtEqualKl([moment(0, 0.5)], line)).toBeUndefined();
  });
});

describe('reproduce imdb', () => {
  const { small } = IMDB_SCALES;
  const settings: ImdbSettings = {
    ...small,
    model: STORIES,
    openingWords: 5,
    classifier: {
      ...small.classifier,
      reviews: 32,
      heldOut: 12,
      epochs: 6,
      learningRate: 2e-3,
      trainedLayers: 3,
    },
    sft: { ...small.sft, reviews: 12, batch: 4 },
    sampling: { prompts: 10, samples: 3, maxNewTokens: 8 },
    training: {
      ...small.training,
      objectives: ['dpo', 'mallows-theta', 'mallows-phi'],
      betas: [0.1],
      batch: 4,
      learningRates: [1e-3],
      seeds: 1,
    },
    frontier: { prompts: 6, every: 1 },
  };
  const data = join(folder, 'reviews.csv');
  writeFileSync(
    data,
    `review,sentiment\n${Array.from({ length: 44 }, (_, i) => {
      const happy = i % 2 === 0;
      const words = happy ? 'She was so happy and smiled' : 'It was very sad and he cried';
      return `"Once there was number ${i} in the park. ${words}.",${happy ? 'positive' : 'negative'}`;
    }).join('\n')}\nbroken,maybe\n`,
  );

  it('runs from reviews to frontiers, and goes on where it was stopped', { timeout: 180_000 }, async () => {
    const output = join(folder, 'out');
    const controller = new AbortController();
    const stages: string[] = [];
    const base = {
      data,
      output,
      settings,
      scale: 'small',
      dtype: 'fp32',
      referenceCache: join(folder, 'cache'),
    } as const;
    const onStage = (name: string, kept: boolean) => {
      stages.push(`${name}${kept ? ' kept' : ''}`);
      if (name === 'mallows-theta, β = 0.1') controller.abort();
    };
    await expect(runImdb({ ...base, onStage, signal: controller.signal })).rejects.toThrow();
    expect(stages).toEqual([
      'classifier',
      'classifier, held out',
      'sft',
      'pairs',
      'before training',
      'dpo, β = 0.1',
      'mallows-theta, β = 0.1',
    ]);

    const again: string[] = [];
    const report = await runImdb({
      ...base,
      onStage: (name, kept) => again.push(`${name}${kept ? ' kept' : ''}`),
    });
    expect(again.slice(0, 6).every((name) => name.endsWith(' kept'))).toBe(true);
    expect(report.data).toEqual({ source: data, reviews: 44, badRows: 1 });
    expect(report.classifier.accuracy.estimate).toBeGreaterThan(0.8);
    expect(report.frontiers.map(({ arm }) => arm.label)).toEqual([
      'dpo, β = 0.1',
      'mallows-theta, β = 0.1',
      'mallows-theta, shuffled, β = 0.1',
      'mallows-phi, β = 0.1',
    ]);
    for (const { moments } of report.frontiers) {
      expect(moments[0]!.kl).toBeCloseTo(0, 4);
      expect(moments.at(-1)!.kl).toBeGreaterThan(0);
      expect(moments[0]!.accuracy).toBe(report.frontiers[0]!.moments[0]!.accuracy);
    }
    expect(report.claims.map(({ verdict }) => verdict)).toEqual(Array(2).fill('not testable at this scale'));

    const { examples: pairs, format } = await loadPairs(join(output, 'pairs.csv'));
    expect(format).toBe('imdb');
    expect(pairs).toHaveLength(report.pairs.count);
    const classifier = await TextClassifier.load(join(output, 'classifier/model'));
    const texts = pairs.flatMap(({ prompt, chosen, rejected }) => [
      `${prompt}${chosen}`,
      `${prompt}${rejected}`,
    ]);
    const odds = await classifier.logOdds(texts);
    for (const index of pairs.keys()) expect(odds[2 * index]!).toBeGreaterThan(odds[2 * index + 1]!);
    classifier.dispose();

    await writeImdbReport(output, report);
    expect(existsSync(join(output, 'figures/figure-8c-beta-0.1.svg'))).toBe(true);
    expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('mallows-theta, shuffled');
    expect(report.claims[0]!.note).toContain('θ against its control');
    expect(report.findings[0]).toContain('shuffled control');
    expect(readFileSync(join(output, 'classifier/model/README.md'), 'utf8')).toContain(
      `${data}: labelled reviews`,
    );
  });
});
