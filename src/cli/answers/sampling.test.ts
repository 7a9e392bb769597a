import { describe, expect, it } from 'vitest';
import { samplingOptions } from './sampling.ts';

describe('samplingOptions', () => {
  const config = { do_sample: true, temperature: 0.6, top_p: 0.9, top_k: 0, repetition_penalty: 1.1 };

  it('takes what was asked for, then what the model says', () => {
    const own = { temperature: 0.6, topP: 0.9, repetitionPenalty: 1.1 };
    expect(samplingOptions({ n: 1 }, config)).toEqual(own);
    expect(samplingOptions({ n: 1, topP: 1, topK: 5, repetitionPenalty: 1 }, config)).toEqual({
      ...own,
      topP: 1,
      topK: 5,
      repetitionPenalty: 1,
    });
    expect(samplingOptions({ n: 1, greedy: true }, config)).toEqual({ greedy: true, repetitionPenalty: 1.1 });
    expect(samplingOptions({ n: 1 }, {})).toEqual({});
  });

  it('is greedy where the model does not sample, unless samples are asked for', () => {
    const greedy = { ...config, do_sample: false };
    expect(samplingOptions({ n: 1 }, greedy)).toEqual({ greedy: true, repetitionPenalty: 1.1 });
    expect(samplingOptions({ n: 1, topP: 0.5 }, greedy)).toMatchObject({ temperature: 0.6, topP: 0.5 });
    expect(samplingOptions({ n: 2 }, greedy)).not.toHaveProperty('greedy');
  });
});
