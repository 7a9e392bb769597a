import { describe, expect, it } from 'vitest';
import type { Figure } from './figure.ts';
import { type TrainingReportInput, trainingReport, type UsedDispersion } from './training.ts';

const pairs = 120;
const run = (shift: number): TrainingReportInput => ({
  method: 'preference',
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
    correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 3 === 0 ? 0 : 1)),
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
  const { heldOut: _, dispersion: __, ...rest } = run(0);
  const line = (step: number, [loss, low, high]: readonly number[]) => ({
    step,
    loss: loss!,
    eval_loss: loss!,
    eval_perplexity: Math.exp(loss!),
    ...(low !== undefined && { 'eval_loss/low': low, 'eval_loss/high': high! }),
  });
  return { ...rest, method: 'sft', metrics: [line(0, before), { step: 1, loss: 3 }, line(2, after)] };
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
    expect(numbers.verdict[2]).toContain('less often than chance');
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

  it('says where w(x) comes from and names no prompt of a control', async () => {
    const input = run(-0.1);
    const page = async (change: Partial<UsedDispersion>) =>
      trainingReport({ ...input, dispersion: { ...input.dispersion!, ...change } });
    const entropy = await page({});
    expect(entropy.html).toContain('scales each pair’s margin');
    expect(entropy.html).toContain('Where the model would accept many answers');
    expect(entropy.html).toContain('Prompt &lt;0&gt;');
    for (const [source, words] of [
      ['votes', 'Where annotators disagreed'],
      ['column', 'Where the data say that opinions differ'],
    ] as const) {
      const { html, numbers } = await page({ source });
      expect(html).toContain(words);
      expect(html).not.toContain('Where the model would');
      expect(numbers.dispersion).toMatchObject({ source, shuffled: false });
    }
    const control = await page({ shuffled: true });
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
