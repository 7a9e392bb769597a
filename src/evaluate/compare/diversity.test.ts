import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bleu, distinctN, selfBleu, words } from './diversity.ts';

const fixture = JSON.parse(readFileSync(new URL('./fixtures/self-bleu.json', import.meta.url), 'utf8')) as {
  texts: string[][];
  scores: number[];
};

describe('words', () => {
  it('keeps marks and scripts apart from white space', () => {
    expect(words('Don’t stop: naïve café №5!')).toEqual([
      'don',
      '’',
      't',
      'stop',
      ':',
      'naïve',
      'café',
      '№',
      '5',
      '!',
    ]);
    expect(words(' \n')).toEqual([]);
  });
});

describe('distinctN', () => {
  it('counts as worked by hand', () => {
    // to be or not to be: 4 of 6 words, 4 of 5 pairs.
    const text = words('to be or not to be');
    expect(distinctN(text, 1)).toBeCloseTo(4 / 6, 12);
    expect(distinctN(text, 2)).toBeCloseTo(4 / 5, 12);
    expect(distinctN(['again', 'again', 'again'], 2)).toBe(0.5);
    expect(distinctN(['one'], 2)).toBeNaN();
  });
});

describe('selfBleu', () => {
  it('agrees with NLTK', () => {
    selfBleu(fixture.texts).forEach((score, i) => {
      expect(score, fixture.texts[i]!.join(' ')).toBeCloseTo(fixture.scores[i]!, 10);
    });
  });

  it('is 1 for copies and 0 for strangers', () => {
    const text = words('the same five words here');
    expect(selfBleu([text, text])).toEqual([1, 1]);
    expect(bleu(text, [words('nothing in common')])).toBe(0);
  });
});
