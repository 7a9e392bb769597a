import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CHAT, chatStories } from '../../../tests/support/chat-stories.ts';
import { modelTensors, saveDirectory } from '../../checkpoints/index.ts';
import { createContext } from '../context.ts';
import { generateHere } from './generate.ts';

it('answers in a chat end where the template ends turns, whatever the EOS token is', async () => {
  const { loaded, answer } = await chatStories();
  const directory = mkdtempSync(join(tmpdir(), 'mallows-generate-'));
  try {
    await saveDirectory(directory, {
      config: loaded.config.raw,
      generationConfig: loaded.generationConfig,
      tokenizer: loaded.tokenizer.files,
      tensors: modelTensors(loaded.model),
      card: { name: 'stories' },
    });
    const asked = { model: directory, dtype: 'fp32', device: 'cpu', threads: 1, greedy: true } as const;
    const limits = { seed: 0, n: 1, maxNewTokens: 12, batch: 1 };
    const context = { ...createContext(), note: () => {} };
    const ask = (chat: boolean) =>
      generateHere(
        context,
        { ...asked, ...limits, chat, prompt: CHAT[0]!.content },
        new AbortController().signal,
      );
    const completion = async (chat: boolean) => (await ask(chat))[0]!.completions[0]!;
    expect(await completion(true)).toMatchObject({ tokens: answer, finish: 'stop' });
    expect(await completion(false)).toMatchObject({ finish: 'length' });
  } finally {
    rmSync(directory, { recursive: true });
    loaded.model.dispose();
  }
});
