import { describe, expect, it } from 'vitest';
import type { JudgedPair, NoVerdict } from '../../evaluate/index.ts';
import type { Method } from '../shared/arms.ts';
import { alignmentClaims, comparisonOf } from './claims.ts';
import type { AlignmentReport } from './contract.ts';
import { alignmentFigures, alignmentPage } from './report.ts';
import { ALIGNMENT_SCALES } from './settings.ts';

const theta: Method = {
  label: 'mallows-theta, β = 0.1',
  objective: 'mallows-theta',
  beta: 0.1,
  learningRate: 1e-6,
  shuffle: false,
};

/** θ against DPO: it wins every prompt but those without a verdict. */
function reportOf(
  prompts: number,
  reasons: readonly NoVerdict[],
  rewardModel: string | null = null,
): AlignmentReport {
  const answers = { prompt: '', a: '', b: '' };
  const judged: JudgedPair[] = [
    ...Array.from({ length: prompts }, () => ({ ...answers, verdicts: [], winner: 'a' as const })),
    ...reasons.map((reason) => ({
      ...answers,
      verdicts: [{ shownFirst: 'a' as const, reason, text: '' }],
    })),
  ].map((pair, i) => ({ ...pair, id: `${i}`, prompt: `Prompt ${i}` }));
  const comparisons = [comparisonOf(theta, 'dpo, β = 0.1', judged, 0)];
  const settings = ALIGNMENT_SCALES.hh.paper;
  return {
    experiment: 'hh',
    scale: 'paper',
    settings: { ...settings, reward: { ...settings.reward, model: rewardModel } },
    data: { source: 'hh', format: 'hh', rows: 9, badRows: 0, judgedPrompts: 17, tooLong: 0 },
    reward: { model: 'reward', accuracy: null },
    pairs: { count: 9, onPolicy: false, meanGap: null },
    judge: 'judge',
    arms: [],
    comparisons,
    ...alignmentClaims('hh', comparisons, true),
  };
}

async function pageOf(report: AlignmentReport): Promise<string> {
  return alignmentPage(report, alignmentFigures(report));
}

describe('the report of an alignment experiment', () => {
  it('counts what the judge gave no verdict on, and says why', async () => {
    const report = reportOf(6, [...Array(28).fill('refused'), 'cut-off', 'unparsable', 'unparsable']);
    expect(report.claims).toMatchObject([
      {
        ours: '100.0 % (100.0 to 100.0) of 6 answers, 31 more without a verdict (28 refused by the judge, 1 cut off before it, 2 that cannot be read)',
        verdict: 'reproduced',
      },
    ]);
    const page = await pageOf(report);
    expect(page).toContain('No verdict');
    expect(page).toMatch(/6 \/ 0 \/ 0<\/td>\s*<td[^>]*>6<\/td>\s*<td[^>]*>28 \/ 1 \/ 2<\/td>/);
  });

  it('judges no statement by a single prompt', async () => {
    const report = reportOf(1, []);
    expect(report.claims).toMatchObject([
      {
        ours: '1 won, 0 tied, 0 lost (too few prompts for an interval) of 1 answers',
        verdict: 'not testable at this scale',
      },
    ]);
    expect(await pageOf(report)).not.toContain('NaN');
  });

  it('says how the prompts of the reward model, of tuning and of judging are kept apart', async () => {
    expect(await pageOf(reportOf(6, []))).toMatch(
      /17 prompts left out because they are judged on.*share no prompt/,
    );
    expect(await pageOf(reportOf(6, [], 'owner/reward'))).not.toContain('share no prompt');
  });
});
