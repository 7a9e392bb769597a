import { describe, expect, it } from 'vitest';
import { ALIGNMENT_SCALES, IMDB_SCALES } from '../experiments/index.ts';
import { alignmentSchema, imdbSchema } from './experiment-schemas.ts';
import { overrideSettings } from './experiment-settings.ts';

const imdb = IMDB_SCALES.small;
const changed = (...assignments: string[]) => overrideSettings(imdbSchema, imdb, assignments);

describe('overrideSettings', () => {
  it('takes every scale as it is', () => {
    for (const scale of Object.values(IMDB_SCALES))
      expect(overrideSettings(imdbSchema, scale, [])).toEqual(scale);
    for (const scale of Object.values(ALIGNMENT_SCALES).flatMap((scales) => Object.values(scales))) {
      expect(overrideSettings(alignmentSchema, scale, [])).toEqual(scale);
    }
  });

  it('replaces values, flags after --set, and leaves the scale alone', () => {
    const settings = overrideSettings(
      imdbSchema,
      imdb,
      ['training.betas=[0.5, 1]', 'classifier.model=here', 'model=set', 'training.epochs=2'],
      [{ flag: '--model', path: ['model'], value: 'flag' }],
    );
    expect(settings).toEqual({
      ...imdb,
      model: 'flag',
      classifier: { ...imdb.classifier, model: 'here' },
      training: { ...imdb.training, betas: [0.5, 1], epochs: 2 },
    });
    expect(imdb.training.betas).toEqual([0.1]);
    expect(overrideSettings(alignmentSchema, ALIGNMENT_SCALES.hh.small, ['sft=null']).sft).toBeNull();
  });

  it('tells every value that cannot be, and where it came from', () => {
    expect(() => changed('training.betas=[a, -1]', 'sampling.prompts=-0.5')).toThrow(
      expect.objectContaining({
        code: 'settings-invalid',
        message: expect.stringMatching(
          /sampling\.prompts: -0\.5 is wrong: .*int.* {2}\(--set\)(.|\n)*training\.betas\.0: "a" is wrong: .*number.*\n.*betas\.1: -1 is wrong/,
        ),
      }),
    );
    expect(() => changed('training.objectives=[dop]')).toThrow(/objectives\.0: "dop" is wrong: .*"dpo"/);
    expect(() =>
      overrideSettings(alignmentSchema, ALIGNMENT_SCALES.hh.small, ['onPolicy.samples=5']),
    ).toThrow('onPolicy.topP: is missing');
  });

  it('refuses unknown keys and what is no YAML', () => {
    expect(() => changed('training.epoch=2')).toThrow('did you mean epochs?');
    expect(() => changed('classifiers=2')).toThrow('did you mean classifier?');
    expect(() => changed('model.name=2')).toThrow('model: {"name":2} is wrong');
    expect(() => changed('__proto__.x=1')).toThrow('there is no such setting');
    expect(() => changed('training.betas=[0.1')).toThrow(expect.objectContaining({ code: 'set-syntax' }));
    expect(() => changed('betas')).toThrow(expect.objectContaining({ code: 'set-syntax' }));
  });
});
