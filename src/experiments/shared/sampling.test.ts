import { expect, it } from 'vitest';
import { CHAT, chatStories } from '../../../tests/support/chat-stories.ts';
import { setThreads } from '../../engine/index.ts';
import { sampleTexts } from './sampling.ts';

setThreads(1);

it('answers to chats end with the token that ends a turn', async () => {
  const { loaded, end, answer } = await chatStories();
  const sampling = { greedy: true, maxNewTokens: 12, samples: 1, seed: 0 };
  const [answers] = await sampleTexts(loaded, [CHAT], sampling);
  expect([...answers![0]!.tokens]).toEqual([...answer, end]);
  loaded.model.dispose();
});
