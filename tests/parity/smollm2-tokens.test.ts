import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../../src/checkpoints/index.ts';
import type { ChatMessage, Tokenizer } from '../../src/text/index.ts';

const fixture = JSON.parse(
  readFileSync(new URL('../../src/text/fixtures/smollm2-ids.json', import.meta.url), 'utf8'),
) as {
  texts: string[];
  ids: number[][];
  chat: { messages: ChatMessage[]; text: string; prompt: string; ids: number[] };
};

describe("SmolLM2's tokenizer, read from the packaged GGUF, agrees with transformers", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const found = await openModel('smollm2-135m:gguf');
    tokenizer = found.tokenizer;
    found.weights.close();
  }, 300_000);

  test('in the ids of odd texts', () => {
    const differing = fixture.texts.filter((text, i) => `${tokenizer.encode(text)}` !== `${fixture.ids[i]}`);
    expect(differing).toEqual([]);
  });

  test('in giving texts back', () => {
    const changed = fixture.texts.filter((text) => tokenizer.decode(tokenizer.encode(text)) !== text);
    expect(changed).toEqual([]);
  });

  test('in chats', () => {
    const { messages, text, prompt, ids } = fixture.chat;
    expect(tokenizer.renderChat(messages)).toBe(text);
    expect(tokenizer.renderChat(messages.slice(0, 1), { addGenerationPrompt: true })).toBe(prompt);
    expect([...tokenizer.encodeChat(messages)]).toEqual(ids);
  });
});
