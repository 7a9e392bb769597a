import { describe, expect, it } from 'vitest';
import { suggest } from './suggest.ts';

describe('suggest', () => {
  it('finds what was meant across insertions, deletions, replacements, swaps, case and separators', () => {
    for (const word of ['learnin_rate', 'learning_ratte', 'laerning_rate', 'Learning-Rate', 'learningrate']) {
      expect(suggest(word, ['lr', 'learning_rate', 'beta'])).toBe('learning_rate');
    }
  });

  it('stays silent when nothing is near', () => {
    expect(suggest('zebra', ['lr', 'beta'])).toBeUndefined();
    expect(suggest('x', [])).toBeUndefined();
  });
});
