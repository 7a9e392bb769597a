import { expect, it } from 'vitest';
import { judgedPairs } from './judged-pairs.ts';

it('says why a pair has no verdict', () => {
  const sample = { prompt: 'p', answers: ['one', 'other'] as const, winner: 'none' as const };
  const page = String(judgedPairs([{ ...sample, reason: 'cut off' }, sample], ['a', 'b'], 2));
  expect([...page.matchAll(/<p class="remark">(.*)<\/p>/g)].map(([, remark]) => remark)).toEqual([
    'No verdict (cut off). ',
    'No verdict. ',
  ]);
});

it('a pair’s third of w(x) is among all pairs, not among those shown', () => {
  const samples = Array.from({ length: 9 }, (_, i) => ({
    prompt: `${i}`,
    answers: ['one', 'other'] as const,
    winner: 'tie' as const,
    // The first pairs have the largest weights.
    negLogDispersion: 9 - i,
  }));
  const thirds = (most: number) =>
    [...String(judgedPairs(samples, ['a', 'b'], most)).matchAll(/data-dispersion="(\w+)">/g)].map(
      ([, third]) => third,
    );
  expect(thirds(4)).toEqual(['highest', 'highest', 'highest', 'middle']);
  expect(thirds(9)).toEqual(['highest', 'middle', 'lowest'].flatMap((third) => [third, third, third]));
});
