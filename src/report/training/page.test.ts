import { describe, expect, it } from 'vitest';
import type { Figure } from '../figure.ts';
import type { TrainingReportInput, UsedDispersion } from './contract.ts';
import { byPrompt } from './dispersion.ts';
import { trainingReport } from './page.ts';

const pairs = 120;
const run = (shift: number): TrainingReportInput => ({
  objective: { name: 'mallows-theta', beta: 0.1 },
  title: 'SmolLM2-135M-Instruct under mallows-theta',
  subtitle: 'Example',
  finished: true,
  metrics: Array.from({ length: 41 }, (_, step) => ({
    step,
    loss: Math.LN2 + (shift * step) / 40,
    'rewards/margins': -shift * step * 0.05,
    'rewards/accuracies': 0.5,
    ...(step % 10 === 0
      ? {
          eval_loss: Math.LN2 + (shift * step) / 40,
          'eval_rewards/margins': -shift * step * 0.05,
          'eval_rewards/accuracies': 0.5,
          'eval_log_ratio/chosen': -0.02 * step,
          'eval_log_ratio/rejected': -0.05 * step,
        }
      : {}),
  })),
  heldOut: {
    prompts: Array.from({ length: pairs }, (_, i) => `${i}`),
    lossesBefore: new Float64Array(pairs).fill(Math.LN2),
    lossesAfter: Float64Array.from({ length: pairs }, (_, i) => Math.LN2 + shift + 0.05 * Math.sin(i)),
    marginsBefore: new Float64Array(pairs),
    marginsAfter: Float64Array.from({ length: pairs }, (_, i) => -2 * shift + 0.1 * Math.sin(i)),
    correctBefore: new Float64Array(pairs).fill(0.5),
    correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 3 === 0 ? 0 : 1)),
    chosenLogRatios: Float64Array.from({ length: pairs }, (_, i) => -0.8 + 0.1 * Math.sin(i)),
  },
  dispersion: {
    phiStar: 0.29,
    source: 'entropy',
    shuffled: false,
    prompts: Array.from({ length: 40 }, (_, i) => ({
      id: `${i}`,
      prompt: `Prompt <${i}>`,
      negLogDispersion: 0.8 + i / 100,
    })),
  },
  samples: [{ prompt: 'Say <b>hi</b>.', before: '<script>alert(1)</script>', after: '' }],
  recipe: 'model: smollm2-135m\n',
  provenance: { seed: 0 },
});

const svgOf = (figures: readonly Figure[], name: string) => figures.find((one) => one.name === name)?.svg;

/** A loss with a likelihood term in it, as of rpo, cpo or orpo: 1.9 before, lower after whatever the pairs do. */
function withTerm(margin: number, correct: number): TrainingReportInput {
  const { heldOut, metrics, ...rest } = run(-0.1);
  const start = 1.9;
  return {
    ...rest,
    metrics: metrics.map((line) => ('eval_loss' in line ? { ...line, eval_loss: start } : line)),
    heldOut: {
      ...heldOut!,
      lossesBefore: new Float64Array(pairs).fill(start),
      lossesAfter: Float64Array.from({ length: pairs }, (_, i) => start - 0.4 + 0.05 * Math.sin(i)),
      marginsAfter: Float64Array.from({ length: pairs }, (_, i) => margin + 0.1 * Math.sin(i)),
      correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 10 < 10 * correct ? 1 : 0)),
    },
  };
}

/** Supervised fine-tuning: held-out loss with its interval before and after, by step. */
function texts(before: readonly number[], after: readonly number[]): TrainingReportInput {
  const { objective: _, heldOut: __, dispersion: ___, ...rest } = run(0);
  const line = (step: number, [loss, low, high]: readonly number[]) => ({
    step,
    loss: loss!,
    eval_loss: loss!,
    eval_perplexity: Math.exp(loss!),
    ...(low !== undefined && { 'eval_loss/low': low, 'eval_loss/high': high! }),
  });
  return { ...rest, metrics: [line(0, before), { step: 1, loss: 3 }, line(2, after)] };
}

describe('trainingReport', () => {
  it('states a gain with its interval', async () => {
    const { numbers, html, figures } = await trainingReport(run(-0.1));
    expect(numbers.heldOut).toMatchObject({ pairs, belowLn2: true });
    expect(numbers.heldOut?.lossBefore).toBeCloseTo(Math.LN2, 12);
    expect(numbers.heldOut?.accuracy.estimate).toBeCloseTo(2 / 3, 12);
    expect(numbers.verdict[0]).toMatch(
      /^The model learnt the preference: on 120 held-out pairs the loss fell from ln 2 = 0\.693.* to 0\.59/,
    );
    // The claim is about the change, so the interval is the change's.
    expect(numbers.verdict[0]).toMatch(/\(change −0\.100, 95 % interval −0\.1\d\d to −0\.09\d\)\.$/);
    expect(numbers.verdict[1]).toMatch(
      /^The mean reward of chosen − rejected rose from 0\.000 to 0\.\d+ \(change/,
    );
    expect(svgOf(figures, 'loss')).toContain('ln 2');
    expect(svgOf(figures, 'loss')).toContain('loss (nats a pair)');
    expect(html).toContain('; ln 2 is 0.693');
    expect(figures.map(({ name }) => name)).toEqual([
      'loss',
      'margin',
      'accuracy',
      'log-ratios',
      'dispersion',
    ]);
    expect(html).toContain('Why do the chosen answers become less likely too?');
    expect(html).not.toContain('<script>');
    expect(html.indexOf('Provenance')).toBeGreaterThan(html.indexOf('Before and after'));
  });

  it('does not call noise or harm a gain', async () => {
    expect((await trainingReport(run(0))).numbers.verdict[0]).toMatch(/^No effect beyond chance/);
    const worse = await trainingReport(run(0.1));
    expect(worse.numbers.verdict[0]).toMatch(/^The model got worse/);
    expect(worse.numbers.heldOut?.belowLn2).toBe(false);
  });

  it('claims no preference for a loss that other terms may have lowered', async () => {
    const { numbers, figures, html } = await trainingReport(withTerm(-0.2, 0.2));
    expect(numbers.verdict[0]).toMatch(
      /^The loss fell, but this does not show that the model learnt the preference: .* fell from 1\.900 to 1\.50/,
    );
    expect(numbers.verdict[1]).toMatch(/ fell from 0\.000 to −0\.\d+ \(/);
    expect(numbers.verdict[2]).toContain('training lowered it');
    expect(numbers.heldOut).not.toHaveProperty('belowLn2');
    expect(svgOf(figures, 'loss')).not.toContain('ln 2');
    expect(html).not.toContain('ln 2');
    expect((await trainingReport(withTerm(0, 0.5))).numbers.verdict.slice(0, 2)).toEqual([
      expect.stringMatching(/^The loss fell, but/),
      expect.stringMatching(/ went from .*, which chance alone could give\.$/),
    ]);
    expect((await trainingReport(withTerm(0.2, 0.8))).numbers.verdict[0]).toMatch(
      /^The model learnt the preference: /,
    );
    // Rewards apart on average, and yet the wrong way round in most pairs.
    expect((await trainingReport(withTerm(0.2, 0.2))).numbers.verdict[0]).toMatch(/^The loss fell, but/);
  });

  it('calls a higher loss of answers that moved apart by its name', async () => {
    const worse = run(0.1);
    const marginsAfter = worse.heldOut!.marginsAfter.map((margin) => -margin);
    const { numbers } = await trainingReport({ ...worse, heldOut: { ...worse.heldOut!, marginsAfter } });
    expect(numbers.verdict[0]).toMatch(/^The loss rose, although chosen and rejected answers moved apart: /);
  });

  it('takes no credit for an accuracy that the base model had', async () => {
    const correct = Float64Array.from({ length: pairs }, (_, i) => (i % 6 === 0 ? 0 : 1));
    const of = async (objective: TrainingReportInput['objective'], after: Float64Array) => {
      const { heldOut, ...rest } = run(0);
      return trainingReport({
        ...rest,
        objective: objective!,
        heldOut: { ...heldOut!, correctBefore: correct, correctAfter: after },
      });
    };
    const untrained = await of({ name: 'simpo' }, correct);
    expect(untrained.numbers.heldOut).toMatchObject({
      accuracyBefore: expect.closeTo(5 / 6, 12),
      accuracyChange: { estimate: 0, low: 0, high: 0 },
    });
    expect(untrained.numbers.verdict[2]).toMatch(
      /in 83\.3\u00a0% of the pairs .*, against 83\.3\u00a0% before training: training has not changed it beyond chance \(change 0\.0 points/,
    );
    expect(untrained.numbers.verdict[3]).toBe(
      'The reward of an answer under simpo is β = 10 times log π per token, without a reference: the base model orders pairs by it already.',
    );
    expect(untrained.html).toContain('83.3\u00a0% before training');
    expect(svgOf(untrained.figures, 'accuracy')).toContain('before training');
    expect(svgOf(untrained.figures, 'accuracy')).not.toContain('chance');

    const better = await of({ name: 'simpo' }, new Float64Array(pairs).fill(1));
    expect(better.numbers.verdict[2]).toMatch(
      /training raised it \(change 16\.7 points, 95 % interval 1\d\.\d to 2/,
    );
    const worse = await of({ name: 'simpo' }, new Float64Array(pairs));
    expect(worse.numbers.verdict[2]).toContain('training lowered it (change −83.3 points');

    // A policy that is its reference ties every pair, whatever rounding makes of it.
    const dpo = await of({ name: 'dpo' }, correct);
    expect(dpo.numbers.heldOut?.accuracyBefore).toBe(0.5);
    expect(dpo.numbers.verdict[2]).toMatch(
      /against 50\.0\u00a0% before training, when all pairs tie: training raised it/,
    );
    expect(dpo.numbers.verdict).toHaveLength(3);
    expect(svgOf(dpo.figures, 'accuracy')).toContain('chance');
    // Of an objective that a user defined nothing is known but what was measured.
    const own = await of({ name: 'mine' }, correct);
    expect(own.numbers.heldOut?.accuracyBefore).toBeCloseTo(5 / 6, 12);
  });

  it('says what became of the chosen answers only as far as the interval over prompts does', async () => {
    const page = async (shift: number, spread: number, name = 'dpo') => {
      const { heldOut, ...rest } = run(-0.1);
      const chosenLogRatios = Float64Array.from({ length: pairs }, (_, i) => shift + spread * Math.sin(i));
      return trainingReport({ ...rest, objective: { name }, heldOut: { ...heldOut!, chosenLogRatios } });
    };
    const rose = await page(1.25, 1);
    expect(rose.html).toMatch(/They became more likely than under the reference: .* is 1\.25 nats/);
    expect(rose.html).not.toContain('Why do the chosen answers');
    const fell = await page(-1.25, 1);
    expect(fell.html).toContain('Why do the chosen answers become less likely too?');
    expect(fell.html).toMatch(/is −1\.25 nats on average \(95 % interval −1\.\d\d to −1\.\d\d\)/);
    const unclear = await page(1.25, 40);
    expect(unclear.html).toMatch(/or less is unclear: .* is 1\.\d\d nats on average \(95 % interval −/);
    expect(unclear.html).not.toContain('Why do the chosen answers');
    expect(unclear.numbers.heldOut?.chosenLogRatio?.low).toBeLessThan(0);
    // Many pairs of few prompts are little evidence.
    const { heldOut, ...rest } = run(-0.1);
    const prompts = heldOut!.prompts.map((_, i) => `${i % 2}`);
    const chosenLogRatios = heldOut!.lossesAfter.map((_, i) => (i % 2 === 0 ? 3 : -1));
    const few = await trainingReport({ ...rest, heldOut: { ...heldOut!, prompts, chosenLogRatios } });
    expect(few.html).toContain('is unclear');
    // No log-ratios, no sentence.
    const { chosenLogRatios: _, ...without } = heldOut!;
    expect((await trainingReport({ ...rest, heldOut: without })).html).not.toMatch(
      /the chosen answers become/,
    );
  });

  it('advises by the objective', async () => {
    const page = async (name: string) => (await trainingReport({ ...run(-0.1), objective: { name } })).html;
    expect(await page('dpo')).toContain('add the likelihood term (objective rpo)');
    const rpo = await page('rpo');
    expect(rpo).toContain('raise α');
    expect(rpo).not.toContain('objective rpo');
    const own = await page('mine');
    expect(own).toContain('Why do the chosen answers become less likely too?');
    expect(own).not.toMatch(/objective rpo|only asks/);
  });

  it('says how margins follow from log-ratios under the objective', async () => {
    const page = async (objective: TrainingReportInput['objective']) =>
      (await trainingReport({ ...run(-0.1), objective: objective! })).html;
    expect(await page({ name: 'dpo', beta: 0.25 })).toContain(
      'The margin is β = 0.25 times their difference.',
    );
    const simpo = await page({ name: 'simpo' });
    expect(simpo).toContain('The rewards of simpo do without a reference and are not made of these.');
    expect(simpo).toContain('Under simpo the reward of an answer is β = 10 times log π per token.');
    expect(simpo).not.toContain('their difference.');
    expect(await page({ name: 'mine' })).not.toContain('The margin is');
  });

  it('draws the KL where it was measured, with its interval over prompts', async () => {
    const { metrics, ...rest } = run(-0.1);
    const measured = metrics.map((line) =>
      line.step % 20 === 0 ? { ...line, 'eval_kl/on_policy': line.step / 10 } : line,
    );
    const kls = Float64Array.from({ length: 30 }, (_, i) => 4 + Math.sin(i));
    const prompts = Array.from(kls, (_, i) => `${i}`);
    const { numbers, figures, html } = await trainingReport({
      ...rest,
      metrics: measured,
      kl: [{ step: 40, prompts, kls }],
    });
    expect(numbers.kl).toEqual([
      { step: 0, kl: 0 },
      { step: 20, kl: 2 },
      { step: 40, kl: 4, interval: [expect.closeTo(3.75, 0), expect.closeTo(4.25, 0)] },
    ]);
    expect(svgOf(figures, 'kl')).toContain(
      'KL by step: policy from 0.000 to 4.000'.replace('KL', 'KL to the reference'),
    );
    expect(html).toContain('nats an answer');
    expect(html).toContain('<dt>KL to the reference</dt>');
    expect((await trainingReport(run(-0.1))).figures.map(({ name }) => name)).not.toContain('kl');
  });

  it('judges supervised fine-tuning by the held-out loss a token', async () => {
    const { numbers, figures, html } = await trainingReport(texts([3.2, 3.1, 3.3], [2.5, 2.4, 2.6]));
    expect(numbers.verdict).toEqual([
      'The model learnt: on held-out texts the loss fell from 3.200 nats a token (95 % interval 3.100 to 3.300) to ' +
        '2.500 nats a token (95 % interval 2.400 to 2.600); the intervals do not overlap.',
    ]);
    expect(numbers.heldOutTexts?.after).toEqual({ step: 2, loss: 2.5, interval: [2.4, 2.6] });
    expect(figures.map(({ name }) => name)).toEqual(['loss']);
    expect(svgOf(figures, 'loss')).toContain('loss (nats a token)');
    expect(html).not.toMatch(/ln 2|a pair/);
    // e^2.5, by hand.
    expect(html).toContain('12.18');
  });

  it('says what intervals of two losses cannot show', async () => {
    const verdict = async (...levels: Parameters<typeof texts>) =>
      (await trainingReport(texts(...levels))).numbers.verdict;
    const unclear = await verdict([3.2, 3, 3.4], [3.1, 2.9, 3.3]);
    expect(unclear[0]).toMatch(/^On held-out texts the loss fell from 3\.200 .* to 3\.100/);
    expect(unclear[1]).toMatch(/^Whether that is more than chance is not known: the intervals overlap/);
    expect((await verdict([3.2, 3.1, 3.3], [3.6, 3.5, 3.7]))[0]).toMatch(/^The model got worse: .* rose/);
    expect((await verdict([3.2], [2.5]))[1]).toMatch(/^They have one prompt/);
    const once = texts([3.2, 3, 3.4], [3.1, 2.9, 3.3]);
    const cut = (lines: number) => trainingReport({ ...once, metrics: once.metrics.slice(0, lines) });
    expect((await cut(2)).numbers.verdict[0]).toMatch(
      /measured only once, after step 0: 3\.200 nats a token/,
    );
    expect((await cut(0)).numbers.verdict).toEqual([
      'No held-out texts: whether the model learnt is not known.',
    ]);
  });

  it('tells the accuracy by an own reward from that by log-ratios, which runs are compared by', async () => {
    const { heldOut, ...input } = run(-0.1);
    const factsOf = async (name: string, correctByLogRatio?: Float64Array) => {
      const given = { ...heldOut!, ...(correctByLogRatio && { correctByLogRatio }) };
      const page = await trainingReport({ ...input, objective: { name }, heldOut: given });
      return [...page.html.matchAll(/<dt>(Held-out accuracy[^<]*)<\/dt>\s*<dd>([^<]*)/g)].map(
        ([, label, value]) => [label, value],
      );
    };
    const all = new Float64Array(pairs).fill(1);
    const two = [
      ['Held-out accuracy by its own reward', '66.7\u00a0%'],
      ['Held-out accuracy by log-ratio', '100.0\u00a0%'],
    ];
    expect(await factsOf('simpo', all)).toEqual(two);
    // Rewards from the reference are told apart only where they order pairs otherwise, as those per token may.
    expect(await factsOf('dpo', all)).toEqual(two);
    const one = [['Held-out accuracy', '66.7\u00a0%']];
    expect(await factsOf('dpo', heldOut!.correctAfter)).toEqual(one);
    expect(await factsOf('simpo')).toEqual(one);
  });

  it('says the maximum length beside the recipe, which may not name it', async () => {
    const page = async (provenance: TrainingReportInput['provenance']) =>
      (await trainingReport({ ...run(-0.1), provenance })).html;
    expect(await page({ data: { maxLength: 512 } })).toContain('at most 512 tokens together');
    expect(await page({})).not.toContain('tokens together');
  });

  it('says where w(x) comes from and names no prompt of a control', async () => {
    const input = run(-0.1);
    const page = async (change: Partial<UsedDispersion>) =>
      trainingReport({ ...input, dispersion: { ...input.dispersion!, ...change } });
    const entropy = await page({});
    expect(entropy.html).toContain('scales each pair’s margin');
    expect(entropy.html).toContain('Where the model would accept many answers');
    expect(entropy.html).toContain('Prompt &lt;0&gt;');
    expect(entropy.html).toContain('where the model is surer of the next words than on average');
    expect(entropy.html).not.toMatch(/opinions differ|annotators|settled/);
    expect(svgOf(entropy.figures, 'dispersion')).toContain(
      'many answers would do ← → one answer, to the model',
    );
    for (const [source, words, sides, axis] of [
      [
        'votes',
        'Where annotators disagreed',
        'above 1 where annotators agreed',
        'annotators disagreed ← → agreed',
      ],
      [
        'column',
        'Where the data say that opinions differ',
        'above 1 where the column says',
        'by the data’s column',
      ],
    ] as const) {
      const { html, figures, numbers } = await page({ source });
      expect(html).toContain(words);
      expect(html).toContain(sides);
      expect(svgOf(figures, 'dispersion')).toContain(axis);
      expect(html).not.toContain('Where the model would');
      expect(numbers.dispersion).toMatchObject({ source, shuffled: false });
    }
    expect((await trainingReport({ ...input, objective: { name: 'mallows-phi' } })).html).toContain(
      'scales each pair’s −log φ',
    );
    const control = await page({ shuffled: true });
    expect(svgOf(control.figures, 'dispersion')).toContain('dealt to the prompts at random');
    expect(svgOf(control.figures, 'dispersion')).not.toContain('← →');
    expect(control.html).toContain('This run is a control');
    expect(control.html).not.toMatch(/dispersed prompts|Prompt &lt;|above 1 where/);
    expect(control.numbers.verdict.at(-1)).toMatch(/^This run is a control: /);
    expect(control.numbers.dispersion).toMatchObject({ phiStar: 0.29, shuffled: true });
  });

  it('takes pairs of one prompt as one piece of evidence', async () => {
    const { heldOut, ...rest } = run(-0.1);
    // Accuracy ⅔ within every prompt of three pairs: between prompts nothing varies.
    const prompts = heldOut!.prompts.map((_, i) => `${Math.floor(i / 3)}`);
    const { numbers } = await trainingReport({ ...rest, heldOut: { ...heldOut!, prompts } });
    expect(numbers.heldOut).toMatchObject({ pairs: 120, prompts: 40 });
    expect(numbers.heldOut!.accuracy.low).toBeCloseTo(2 / 3, 12);
    expect(numbers.heldOut!.accuracy.high).toBeCloseTo(2 / 3, 12);
    expect(numbers.verdict[0]).toContain('on 120 held-out pairs of 40 prompts the loss fell');
  });

  it('lists each prompt once, by the mean weight of its pairs', () => {
    const pairs = [
      { prompt: 'a', w: 0.5 },
      { prompt: 'b', w: 0.6 },
      { prompt: 'a', w: 1.5 },
      { prompt: 'c', w: 0.9 },
    ];
    expect(byPrompt(pairs)).toEqual([
      { prompt: 'b', w: 0.6 },
      { prompt: 'c', w: 0.9 },
      { prompt: 'a', w: 1 },
    ]);
  });

  it('counts contested pairs, and held-out ones whose prompt is trained on, where the run knows', async () => {
    const of = (train: object, heldOut: object) =>
      trainingReport({ ...run(-0.1), provenance: { seed: 0, data: { train, eval: heldOut } } });
    const both = await of({ contested: 7 }, { contested: 2, rows: 120, promptsTrainedOn: 31 });
    const overlap = { rows: 120, trainedOn: 31 };
    expect(both.numbers.data).toEqual({ contested: { train: 7, heldOut: 2 }, promptOverlap: overlap });
    expect(both.numbers.verdict.at(-1)).toMatch(
      /^31 of 120 held-out pairs have a prompt that is trained on: .* little of other prompts\.$/,
    );
    expect(both.html).toMatch(/Contested<\/td><td>7, left out<\/td><td>2, evaluated</);
    expect(both.html).toMatch(/Prompt is trained on<\/td><td>–<\/td><td>31 of 120</);

    const apart = await of({ rows: 40, badRows: 3 }, { rows: 120, promptsTrainedOn: 0 });
    expect(apart.numbers.data).toEqual({
      rows: { train: { usable: 40, bad: 3 }, heldOut: { usable: 120 } },
      promptOverlap: { rows: 120, trainedOn: 0 },
    });
    expect(apart.html).toMatch(/Left out as unusable<\/td><td>3<\/td><td>–</);
    expect(apart.numbers.verdict.join()).not.toContain('trained on');
    expect(apart.html).toContain('0 of 120');
    expect(apart.html).not.toContain('Contested');

    const silent = await trainingReport(run(-0.1));
    expect(silent.numbers).not.toHaveProperty('data');
    expect(silent.html).not.toContain('<h2>Data</h2>');
  });

  it('says what is missing', async () => {
    const { heldOut: _, dispersion: __, ...rest } = run(-0.1);
    const { numbers } = await trainingReport({ ...rest, finished: false, samples: [] });
    expect(numbers.verdict).toEqual([
      'The run was interrupted: these are its numbers so far.',
      'No held-out pairs: whether the model learnt is not known.',
    ]);
  });

  it('is a pure function of the run', async () => {
    expect((await trainingReport(run(-0.1))).html).toBe((await trainingReport(run(-0.1))).html);
  });
});
