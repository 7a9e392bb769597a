import { describe, expect, it } from 'vitest';
import type { JudgedPair } from '../../evaluate/index.ts';
import type { Method } from '../shared/arms.ts';
import { alignmentClaims, comparisonOf, rewardFindings } from './claims.ts';

describe('win rates over seeds of training', () => {
  const method: Method = { label: 'θ', objective: 'ipo', beta: 0.1, learningRate: 1e-6, shuffle: false };
  const run = (winner: 'a' | 'b', unread = -1): JudgedPair[] =>
    Array.from({ length: 40 }, (_, i) => ({
      id: `${i}`,
      prompt: `Prompt ${i >> 1}`,
      a: '',
      b: '',
      verdicts: [],
      ...(i !== unread && { winner }),
    }));

  it('have intervals over the luck that moves all prompts together', () => {
    const { winRate, ...rest } = comparisonOf(method, 'dpo', [...run('a'), ...run('b')], 0);
    expect(winRate).toEqual({ estimate: 50, low: 0, high: 100 });
    expect(rest).toMatchObject({ runs: 2, prompts: 20, answers: 80, wins: 40, losses: 40, unparsable: 0 });
  });

  it('leave out what a run has no verdict on', () => {
    const { winRate, ...rest } = comparisonOf(method, 'dpo', [...run('a', 3), ...run('b')], 0);
    expect(winRate.estimate).toBeCloseTo((100 * 39) / 79, 12);
    expect(rest).toMatchObject({ runs: 2, prompts: 20, answers: 79, refused: 0, cutOff: 0, unparsable: 1 });
  });

  it('say where there was one seed that its luck is not covered', () => {
    const findings = (judged: readonly JudgedPair[]) =>
      alignmentClaims('hh', [comparisonOf(method, 'dpo', judged, 0)], false).findings.join();
    expect(findings(run('a'))).toMatch(/one seed: .* luck of training/);
    expect(findings([...run('a'), ...run('b')])).toBe('');
  });
});

describe('what a reward model without skill means', () => {
  const chance = { estimate: 0.484, low: 0.359, high: 0.609 };
  const everything = { pairs: true, judging: true };

  it('is said where it decides something', () => {
    expect(rewardFindings(chance, everything)).toEqual([
      expect.stringMatching(/48\.4 % \(35\.9 to 60\.9\).*no more than chance.*trained on and who wins/),
    ]);
    expect(rewardFindings(chance, { pairs: false, judging: true })[0]).toMatch(/It decides who wins:/);
  });

  it('is not said of one with skill, of one that was given, or where it decides nothing', () => {
    expect(rewardFindings({ estimate: 0.62, low: 0.53, high: 0.7 }, everything)).toEqual([]);
    expect(rewardFindings(null, everything)).toEqual([]);
    expect(rewardFindings(chance, { pairs: false, judging: false })).toEqual([]);
  });
});
