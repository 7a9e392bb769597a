import { describe, expect, it } from 'vitest';
import { rewardFindings } from './alignment-claims.ts';

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
