import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { CHAT, chatStories } from '../../../tests/support/chat-stories.ts';
import { modelTensors, saveDirectory } from '../../checkpoints/index.ts';
import { createContext } from '../context.ts';
import { generateHere } from './here.ts';

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

    // A penalty that the model states holds for greedy answers, and is told.
    writeFileSync(join(directory, 'generation_config.json'), '{"repetition_penalty": 50}');
    const plain = { ...asked, ...limits, prompt: CHAT[0]!.content };
    const emit = vi.fn();
    const tokens = async (penalty?: number) => {
      const options = { ...plain, ...(penalty !== undefined && { repetitionPenalty: penalty }) };
      const [row] = await generateHere({ ...context, emit }, options, new AbortController().signal);
      return row!.completions[0]!.tokens!;
    };
    expect(await tokens()).not.toEqual(await tokens(1));
    expect(emit.mock.calls.map(([record]) => record)).toMatchObject([
      { event: 'sampling', greedy: true, repetitionPenalty: 50 },
      { event: 'sampling', greedy: true, repetitionPenalty: 1 },
    ]);
  } finally {
    rmSync(directory, { recursive: true });
    loaded.model.dispose();
  }
});
