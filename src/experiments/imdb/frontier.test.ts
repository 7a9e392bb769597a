import { expect, it } from 'vitest';
import { STORIES } from '../../../tests/support/stories.ts';
import { loadModel } from '../../checkpoints/index.ts';
import { setThreads } from '../../engine/index.ts';
import { measurePolicy } from './frontier.ts';
import { IMDB_SCALES } from './settings.ts';

setThreads(1);

it('stops where an interruption finds it: sampling, classifying or measuring the KL', async () => {
  const loaded = await loadModel(STORIES);
  const { small } = IMDB_SCALES;
  const settings = { ...small, sampling: { ...small.sampling, maxNewTokens: 4 } };
  const measure = (
    signal: AbortSignal,
    whileClassifying: () => void,
    whileReferring: () => void = () => {},
  ) =>
    measurePolicy(
      loaded,
      async (use) => {
        whileReferring();
        return use(loaded.model);
      },
      {
        logOdds: async (texts, watch) => {
          whileClassifying();
          watch?.signal?.throwIfAborted();
          return new Float64Array(texts.length);
        },
      },
      ['Once upon a time', 'The dog'],
      settings,
      signal,
    );
  const interrupted = new Error('interrupted');

  const before = AbortSignal.abort(interrupted);
  let asked = 0;
  const sampling = measure(before, () => asked++);
  await expect(sampling).rejects.toBe(interrupted);
  expect(asked).toBe(0);

  const classifying = new AbortController();
  await expect(measure(classifying.signal, () => classifying.abort(interrupted))).rejects.toBe(interrupted);

  const referring = new AbortController();
  const kl = measure(
    referring.signal,
    () => {},
    () => referring.abort(interrupted),
  );
  await expect(kl).rejects.toBe(interrupted);

  await expect(measure(new AbortController().signal, () => {})).resolves.toMatchObject({ 'kl/on_policy': 0 });
  loaded.model.dispose();
});
