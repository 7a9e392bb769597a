import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedModel, loadModel } from '../../checkpoints/index.ts';
import { reviewOpening } from '../shared/reviews.ts';
import { agreementWith, annotatorAgreement, shapeOf } from './measures.ts';
import { writeDispersionReport } from './report.ts';
import { runDispersion } from './run.ts';

const STORIES = 'tests/fixtures/models/stories260K/stories260K-f32.gguf';

describe('annotatorAgreement', () => {
  it('is the share of annotator pairs with one verdict', () => {
    expect(annotatorAgreement({ first: 3, second: 0, tie: 0 })).toBe(1);
    expect(annotatorAgreement({ first: 2, second: 1, tie: 0 })).toBeCloseTo(1 / 3, 12);
    expect(annotatorAgreement({ first: 1, second: 1, tie: 1 })).toBe(0);
  });

  it('goes with w or against it as the rows do', () => {
    const votes = Array.from({ length: 60 }, (_, i) =>
      i % 3 === 0
        ? { first: 3, second: 0, tie: 0 }
        : i % 3 === 1
          ? { first: 1, second: 2, tie: 0 }
          : { first: 1, second: 1, tie: 1 },
    );
    const weights = votes.map((vote, i) => 1 + annotatorAgreement(vote) / 2 + i / 1000);
    const { withAgreement, withAgreementAtLength, levels } = agreementWith(
      weights,
      votes,
      weights.map((_, i) => i % 7),
      0,
    );
    expect(withAgreement.low).toBeGreaterThan(0.8);
    expect(withAgreementAtLength.estimate).toBeCloseTo(withAgreement.estimate, 1);
    expect(levels.map(({ agreement, rows }) => [agreement, rows])).toEqual([
      [1, 20],
      [1 / 3, 20],
      [0, 20],
    ]);
    const against = agreementWith(
      weights.map((w) => -w),
      votes,
      weights,
      0,
    );
    expect(against.withAgreement.high).toBeLessThan(-0.8);
  });
});

describe('shapeOf', () => {
  it('gives spread, skew and the share between .8 and 1.2', () => {
    const { sd, skew, within, quantiles } = shapeOf([0.7, 0.9, 1, 1.1, 1.3], 0);
    expect(sd.estimate).toBeCloseTo(Math.sqrt(0.2 / 4), 12);
    expect(skew.estimate).toBeCloseTo(0, 12);
    expect(within).toBe(0.6);
    expect(quantiles[2]).toBe(1);
  });
});

describe('reviewOpening', () => {
  it('cuts after so many words and leaves the space with the rest', () => {
    expect(reviewOpening(' I saw  this film\ntwice.', 3)).toEqual({
      prompt: 'I saw  this',
      rest: ' film\ntwice.',
    });
    expect(reviewOpening('Too short.', 2)).toBeUndefined();
  });
});

describe('runDispersion', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mallows-dispersion-'));
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await loadModel(STORIES);
  });
  afterAll(() => {
    loaded.model.dispose();
    rmSync(directory, { recursive: true });
  });

  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const reviews = () =>
    file(
      'reviews.csv',
      `review,sentiment\n${[
        'Once there was a little girl and she liked the film a lot.,positive',
        'The dog was big and the film was very bad for it.,negative',
        'Short.,negative',
        '"One day, Tim saw a film<br /><br />and was so happy that he ran.",positive',
      ].join('\n')}\n`,
    );
  const hh = () =>
    file(
      'hh.jsonl',
      ['What is a cat?', 'Tell me a story.', 'Say red.']
        .map((question, i) =>
          JSON.stringify({
            chosen: `\n\nHuman: ${question}\n\nAssistant: A small animal, number ${i}.`,
            rejected: `\n\nHuman: ${question}\n\nAssistant: I do not know that at all.`,
          }),
        )
        .join('\n'),
    );
  const judged = () =>
    file(
      'judged.jsonl',
      [
        [1, 1, 1],
        [1, 2, 0],
        [2, 2, 1],
        [0, 0, 1],
      ]
        .map((annotators, idx) =>
          JSON.stringify({
            idx,
            instruction: `Name an animal ${'that runs '.repeat(idx)}`,
            response1: 'A dog.',
            response2: `The cat ${'sat '.repeat(idx + 1)}.`,
            annotators,
          }),
        )
        .join('\n'),
    );

  it('reads reviews, pairs and judged answers, and writes one report of them', async () => {
    const seen = new Set<string>();
    const report = await runDispersion({
      loaded,
      data: [{ label: 'IMDB', source: reviews() }, { source: hh() }, { source: judged() }],
      openingWords: 4,
      maxNewTokens: 6,
      onProgress: ({ label, phase }) => seen.add(`${label} ${phase}`),
    });
    expect(report.data.map(({ label, kind, shape, badRows }) => [label, kind, shape.count, badRows])).toEqual(
      [
        ['IMDB', 'reviews', 3, 1],
        ['hh', 'pairs', 3, 0],
        ['judged', 'judged', 4, 0],
      ],
    );
    for (const { weights } of report.data) {
      expect(weights.reduce((sum, w) => sum + w, 0) / weights.length).toBeCloseTo(1, 10);
    }
    expect(seen).toEqual(new Set(['IMDB sampling', 'IMDB scoring', 'hh scoring', 'judged scoring']));
    expect(report.data[1]!.mostDispersed.map(({ prompt }) => prompt)).toContain('Say red.');
    expect(report.claims).toHaveLength(4);
    expect(report.claims.every(({ verdict }) => verdict === 'not testable at this scale')).toBe(true);
    expect(report.findings[0]).toContain('judged: over 4 pairs');

    const output = join(directory, 'out');
    await writeDispersionReport(output, report);
    const page = readFileSync(join(output, 'report.html'), 'utf8');
    expect(page).toContain('IMDB: the ends of the scale');
    expect(JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(report)),
    );
  });

  it('draws so many usable rows, and passes over those that are too long', async () => {
    const rows = Array.from({ length: 12 }, (_, i) => ({
      chosen: `\n\nHuman: ${i % 2 === 0 ? 'Why? '.repeat(40) : 'Why'} ${i}?\n\nAssistant: A small animal.`,
      rejected: `\n\nHuman: ${i % 2 === 0 ? 'Why? '.repeat(40) : 'Why'} ${i}?\n\nAssistant: I do not know.`,
    }));
    const source = file('long.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
    const run = (seed: number) => runDispersion({ loaded, data: [{ source }], rows: 3, maxLength: 64, seed });
    const [first, second] = [await run(0), await run(1)];
    const ids = ({ data }: typeof first) => data[0]!.mostDispersed.map(({ id }) => id).sort();
    for (const { data } of [first, second]) expect(data[0]!.shape.count).toBe(3);
    expect(ids(first)).not.toEqual(ids(second));
    expect((await runDispersion({ loaded, data: [{ source }], maxLength: 64 })).data[0]).toMatchObject({
      shape: { count: 6 },
      badRows: 6,
    });
  });

  it('repeats itself for a seed, and takes the reviews’ own words when asked to', async () => {
    const options = { loaded, data: [{ source: reviews() }], openingWords: 4, maxNewTokens: 6 } as const;
    const [first, second] = [await runDispersion(options), await runDispersion(options)];
    expect(second.data[0]!.weights).toEqual(first.data[0]!.weights);
    const other = await runDispersion({ ...options, seed: 1 });
    expect(other.data[0]!.weights).not.toEqual(first.data[0]!.weights);
    const written = await runDispersion({ ...options, reviewAnswers: 'review', seed: 1 });
    const again = await runDispersion({ ...options, reviewAnswers: 'review', seed: 2 });
    expect(written.data[0]!.weights).toEqual(again.data[0]!.weights);
  });
});
