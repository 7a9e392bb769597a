import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadPairs } from '../src/data/index.ts';
import type { Judge } from '../src/evaluate/index.ts';
import { comparisonOf } from '../src/experiments/alignment/claims.ts';
import {
  ALIGNMENT_SCALES,
  type AlignmentSettings,
  type EstimatedStage,
  runAlignment,
  writeAlignmentReport,
} from '../src/experiments/index.ts';
import { armsOf, type Method } from '../src/experiments/shared/arms.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-alignment-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';

const method: Method = { label: 'a', objective: 'dpo', beta: 0.1, learningRate: 1e-6, shuffle: false };

describe('comparisonOf', () => {
  it('counts answers, and draws prompts for the interval', () => {
    const judged = (['a', 'a', 'tie', 'b', undefined] as const).map((winner, i) => ({
      id: `thread#${i}`,
      prompt: `Question ${i >> 1}`,
      a: '',
      b: '',
      verdicts: [],
      ...(winner !== undefined && { winner }),
    }));
    const { wins, ties, losses, winRate, prompts, unparsable } = comparisonOf(method, 'dpo', judged, 0);
    expect([wins, ties, losses, prompts, unparsable]).toEqual([2, 1, 1, 2, 1]);
    expect(winRate.estimate).toBe(62.5);
    expect(winRate.low).toBeLessThan(winRate.estimate);
  });
});

describe('armsOf', () => {
  it('puts a shuffled control beside θ, and names rates only where there are several', () => {
    const { training } = ALIGNMENT_SCALES.ultrafeedback.paper;
    const arms = armsOf(training, 0);
    expect(arms).toHaveLength(6 * 3);
    expect(new Set(arms.map(({ label }) => label)).size).toBe(18);
    expect(
      arms.filter(({ shuffle }) => shuffle).every(({ objective }) => objective === 'mallows-theta'),
    ).toBe(true);
    expect(armsOf(ALIGNMENT_SCALES.hh.paper.training, 0).map(({ label }) => label)).toContain(
      'mallows-theta, shuffled, β = 0.1',
    );
  });
  it('runs every method once a seed, one seed after the other', () => {
    const training = { ...ALIGNMENT_SCALES.hh.small.training, objectives: ['dpo', 'ipo'], seeds: 2 };
    expect(armsOf(training, 7).map(({ name, seed }) => [name, seed])).toEqual([
      ['dpo, β = 0.1, seed 7', 7],
      ['ipo, β = 0.1, seed 7', 7],
      ['dpo, β = 0.1, seed 8', 8],
      ['ipo, β = 0.1, seed 8', 8],
    ]);
  });
});

const { small } = ALIGNMENT_SCALES.hh;
const tiny: AlignmentSettings = {
  ...small,
  model: STORIES,
  sft: { pairs: 8, epochs: 1, learningRate: 1e-4, batch: 4, maxLength: 96 },
  reward: {
    model: null,
    pairs: 20,
    epochs: 4,
    learningRate: 2e-3,
    batch: 4,
    maxLength: 96,
    trainedLayers: 5,
  },
  pairs: 10,
  training: {
    ...small.training,
    objectives: ['dpo', 'mallows-theta'],
    betas: [0.1],
    learningRates: [1e-3],
    seeds: 1,
    batch: 4,
    maxLength: 96,
  },
  evaluation: { prompts: 4, seeds: 2, temperature: 1, topP: 1, maxNewTokens: 6 },
};

describe('reproduce hh', () => {
  const data = join(folder, 'hh.jsonl');
  writeFileSync(
    data,
    Array.from({ length: 36 }, (_, i) =>
      JSON.stringify({
        chosen: `\n\nHuman: What is number ${i}?\n\nAssistant: She was happy and smiled ${i} times.`,
        rejected: `\n\nHuman: What is number ${i}?\n\nAssistant: No.`,
      }),
    ).join('\n'),
  );

  it('runs from transcripts to win rates, and keeps what is done', { timeout: 180_000 }, async () => {
    const output = join(folder, 'hh');
    const base = {
      kind: 'hh',
      data,
      output,
      settings: tiny,
      scale: 'small',
      dtype: 'fp32',
      referenceCache: join(folder, 'cache'),
    } as const;
    const stages: string[] = [];
    let planned: readonly EstimatedStage[] = [];
    const report = await runAlignment({
      ...base,
      onPlan: (plan) => {
        planned = plan;
      },
      onStage: (name) => stages.push(name),
    });
    expect(stages).toEqual([
      'reward model',
      'sft',
      'dpo, β = 0.1',
      'mallows-theta, β = 0.1',
      'mallows-theta, shuffled, β = 0.1',
      'answers: before tuning',
      'answers: dpo, β = 0.1',
      'answers: mallows-theta, β = 0.1',
      'answers: mallows-theta, shuffled, β = 0.1',
      'judging',
    ]);
    expect(planned.map(({ name }) => name)).toEqual(stages);
    expect(planned.every(({ seconds }) => seconds! > 0)).toBe(true);
    expect(report.data).toMatchObject({ rows: 36, badRows: 0, format: 'hh', tooLong: 0 });
    expect(readFileSync(join(output, 'sft/model/README.md'), 'utf8')).toContain(`${data}: chosen answers`);
    expect(report.reward.accuracy!.estimate).toBeGreaterThan(0.5);
    expect(report.pairs).toMatchObject({ onPolicy: false, meanGap: null });
    expect(
      report.comparisons.map(({ method: { label }, against, answers }) => [label, against, answers]),
    ).toEqual([
      ['dpo, β = 0.1', 'the model before', 8],
      ['mallows-theta, β = 0.1', 'the model before', 8],
      ['mallows-theta, β = 0.1', 'dpo, β = 0.1', 8],
      ['mallows-theta, β = 0.1', 'mallows-theta, shuffled, β = 0.1', 8],
      ['mallows-theta, shuffled, β = 0.1', 'the model before', 8],
      ['mallows-theta, shuffled, β = 0.1', 'dpo, β = 0.1', 8],
    ]);
    expect(report.claims).toMatchObject([
      { paper: '57.67 % (GPT-4)', verdict: 'not testable at this scale' },
    ]);
    expect(report.claims[0]!.note).toContain('The shuffled control against DPO: ');
    expect(report.findings[1]).toContain('mallows-theta, β = 0.1 against its shuffled control');

    // A judge of one's own, over the kept stages: the longer answer wins.
    const judge: Judge = {
      name: 'length',
      orderFree: true,
      compare: async ({ first, second }) => ({
        outcome: first.length > second.length ? 'first' : first.length < second.length ? 'second' : 'tie',
        text: '',
      }),
      close: async () => {},
    };
    const kept: boolean[] = [];
    const again = await runAlignment({ ...base, judge, onStage: (_, is) => kept.push(is) });
    expect(kept).toEqual([...stages.slice(1).map(() => true), false]); // all but judging
    expect(again.judge).toBe('length');
    expect(again.arms).toEqual(report.arms);

    // One method without a verdict leaves the others theirs.
    let asked = 0;
    const silent = { text: 'I would rather not say.' };
    const hesitant: Judge = {
      ...judge,
      compare: async (pair) => (asked++ < 8 ? silent : judge.compare(pair)),
    };
    const partial = await runAlignment({ ...base, judge: hesitant });
    expect(partial.comparisons.map(({ answers, unparsable }) => [answers, unparsable])).toEqual([
      [0, 8],
      ...again.comparisons.slice(1).map(() => [8, 0]),
    ]);
    expect(partial.findings.join()).toMatch(
      /dpo.* of 0 answers, 8 more without a verdict \(8 that cannot be read\)/,
    );
    await writeAlignmentReport(output, partial);
    const none = runAlignment({ ...base, judge: { ...judge, compare: async () => silent } });
    await expect(none).rejects.toMatchObject({ code: 'nothing-judged' });

    await writeAlignmentReport(output, report);
    expect(existsSync(join(output, 'figures/against-dpo.svg'))).toBe(true);
    expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('57.67 % (GPT-4)');
  });
});

describe('reproduce ultrafeedback', () => {
  it('tunes on the best and the worst of the model’s own answers', { timeout: 180_000 }, async () => {
    const data = join(folder, 'uf.jsonl');
    writeFileSync(
      data,
      Array.from({ length: 36 }, (_, i) =>
        JSON.stringify({
          prompt: `Once there was a girl with ${i} cats.`,
          chosen: ` She was very happy and ran ${i} times.`,
          rejected: ' No.',
          score_chosen: 8,
          score_rejected: 2,
        }),
      ).join('\n'),
    );
    const output = join(folder, 'uf');
    const report = await runAlignment({
      kind: 'ultrafeedback',
      data,
      output,
      settings: {
        ...tiny,
        sft: null,
        onPolicy: { samples: 3, temperature: 1, topP: 1, maxNewTokens: 6 },
        training: { ...tiny.training, seeds: 2 },
      },
      scale: 'small',
      dtype: 'fp32',
      referenceCache: join(folder, 'cache'),
    });
    expect(report.pairs.onPolicy).toBe(true);
    expect(report.pairs.meanGap).toBeGreaterThan(0);
    const { examples: pairs } = await loadPairs(join(output, 'on-policy-pairs.jsonl'));
    expect(pairs).toHaveLength(report.pairs.count);
    expect(pairs.every(({ meta }) => Number(meta!.score_chosen) > Number(meta!.score_rejected))).toBe(true);
    expect(report.comparisons).toHaveLength(6);
    // Four prompts, two answers each, of two runs.
    expect(report.arms).toHaveLength(6);
    expect(report.comparisons.every(({ prompts, answers }) => prompts === 4 && answers === 16)).toBe(true);
    expect(report.claims[0]!.paper).toContain('five of six');
  });
});
