import { describe, expect, it } from 'vitest';
import { type TrainingReportInput, trainingReport } from './training.ts';

const pairs = 120;
const run = (shift: number): TrainingReportInput => ({
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
    correctAfter: Float64Array.from({ length: pairs }, (_, i) => (i % 3 === 0 ? 0 : 1)),
  },
  dispersion: {
    phiStar: 0.29,
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

describe('trainingReport', () => {
  it('states a gain with its interval', async () => {
    const { numbers, html, figures } = await trainingReport(run(-0.1));
    expect(numbers.heldOut).toMatchObject({ pairs, belowLn2: true });
    expect(numbers.heldOut?.lossBefore).toBeCloseTo(Math.LN2, 12);
    expect(numbers.heldOut?.accuracy.estimate).toBeCloseTo(2 / 3, 12);
    expect(numbers.verdict[0]).toMatch(
      /^The model learnt the preference: on 120 held-out pairs the loss fell from ln 2 = 0\.693.* to 0\.59/,
    );
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
