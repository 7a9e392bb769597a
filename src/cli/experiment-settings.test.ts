import { describe, expect, it } from 'vitest';
import { overrideSettings } from './experiment-settings.ts';

const settings = { model: 'a', judge: null as string | null, training: { betas: [0.1], epochs: 1 } };

describe('overrideSettings', () => {
  it('replaces values and leaves the original alone', () => {
    expect(overrideSettings(settings, ['training.betas=[0.5, 1]', 'judge=b', 'training.epochs=2'])).toEqual({
      model: 'a',
      judge: 'b',
      training: { betas: [0.5, 1], epochs: 2 },
    });
    expect(settings.training.epochs).toBe(1);
  });
  it('refuses unknown keys and values of another kind', () => {
    expect(() => overrideSettings(settings, ['training.epoch=2'])).toThrow('no setting training.epoch');
    expect(() => overrideSettings(settings, ['model.name=2'])).toThrow('no setting model.name');
    expect(() => overrideSettings(settings, ['training.epochs=many'])).toThrow(
      'expected number, received text',
    );
    expect(() => overrideSettings(settings, ['training={}'])).toThrow(
      'is a section, whose keys are set one by one',
    );
    expect(() => overrideSettings(settings, ['__proto__.x=1'])).toThrow('no setting');
  });
});
