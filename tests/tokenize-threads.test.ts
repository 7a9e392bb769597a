import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type * as Library from '../src/index.ts';

/** Threads run the package as it is built. A variable, so that the compiler does not insist on a build. */
const name = 'mallowspo';
const { loadModel, Tokenizer, tokenizePairs, tokenizeSequences } = (await import(
  /* @vite-ignore */ name
)) as typeof Library;

const STORIES = fileURLToPath(new URL('fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url));
const TEMPLATE =
  "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";

const { files } = (await loadModel(STORIES)).tokenizer;
const tokenizer = new Tokenizer({ ...files, chatTemplate: TEMPLATE });

const REFUSED = [3, 777];
const LONG = 1500;
const COUNT = 2100;
const WITH_FUNCTION = 90;
const chats = Array.from({ length: COUNT }, (_, index) => ({
  id: `${index}`,
  prompt: [
    {
      // Nor this, which goes with a message.
      ...(index === WITH_FUNCTION && { when: () => index }),
      role: REFUSED.includes(index) ? ('system' as const) : ('user' as const),
      content: `Story ${index}`.repeat(index === LONG ? 20 : 1),
    },
  ],
  chosen: [{ role: 'assistant' as const, content: `${index} is happy.` }],
  rejected: [{ role: 'assistant' as const, content: 'no.' }],
  // No other thread can have this, and none needs it.
  meta: { when: () => index } as unknown as { score_chosen: number },
}));
const facts = {
  locations: chats.map((_, index) => ({ file: 'chats.jsonl', line: index + 1 })),
  badRows: [],
  format: 'generic',
  hash: '',
  source: 'chats.jsonl',
};
const data = { examples: chats, ...facts };
const maxLength = 96;

describe('tokenising in threads', () => {
  it('gives what the calling thread gives, in order, with the same rows left out', async () => {
    const here = await tokenizePairs(data, tokenizer, { maxLength, threads: 0 });
    expect(here.badRows.map(({ line, reason }) => [line, reason])).toEqual([
      [4, 'template-refuses'],
      [778, 'template-refuses'],
      [1501, 'prompt-too-long'],
    ]);
    const heard: string[] = [];
    const progress: number[] = [];
    const there = await tokenizePairs(data, tokenizer, {
      maxLength,
      threads: 3,
      onTokens: (tokens) => heard.push(...tokens.map(({ id }) => id)),
      onProgress: (done) => progress.push(done),
    });
    expect(there).toEqual(here);
    expect(there.examples[0]).toBe(data.examples[0]);
    expect(heard).toEqual(here.tokens.map(({ id }) => id));
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(COUNT);
    expect(await tokenizePairs(data, tokenizer, { maxLength })).toEqual(here);
  });

  it('stops at the first bad row when strict', async () => {
    await expect(
      tokenizePairs(data, tokenizer, { maxLength, threads: 2, strict: true }),
    ).rejects.toMatchObject({ code: 'template-refuses', at: { file: 'chats.jsonl', line: 4 } });
  });

  it('tokenises sequences', async () => {
    const examples = chats
      .slice(10, 500)
      .map(({ id, prompt, chosen }) => ({ id, prompt, completion: chosen }));
    const options = { maxLength, threads: 2 };
    const there = await tokenizeSequences({ ...facts, examples }, tokenizer, options);
    expect(there).toEqual(
      await tokenizeSequences({ ...facts, examples }, tokenizer, { ...options, threads: 0 }),
    );
    expect(there.tokens).toHaveLength(490);
  });

  it('throws the errors of the calling thread', async () => {
    const { eos_token: _, ...config } = files.config;
    const endless = new Tokenizer({ tokenizer: files.tokenizer, config });
    const examples = [{ id: '0', prompt: 'a', chosen: 'b', rejected: 'c' }];
    await expect(tokenizePairs({ ...facts, examples }, endless, { threads: 1 })).rejects.toMatchObject({
      code: 'no-end-token',
      hint: expect.stringContaining('eos_token'),
    });
    const mixed = [
      { id: '0', prompt: [{ role: 'user' as const, content: 'a' }], chosen: 'b', rejected: 'c' },
    ];
    await expect(tokenizePairs({ ...facts, examples: mixed }, tokenizer, { threads: 1 })).rejects.toThrow(
      TypeError,
    );
  });
});
