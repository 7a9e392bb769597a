import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type SeenRequest, startChatServer } from '../../tests/support/chat-server.ts';
import { pairAnswers, readAnswers } from './answers.ts';
import { ChatServer } from './server/client.ts';
import { generateOnServer } from './server/generate.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-answers-'));
const file = (name: string, rows: readonly object[]) => {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
};

describe('answers', () => {
  it('are read from what generate writes and from plain rows', async () => {
    const path = file('a.jsonl', [
      {
        id: 'x',
        prompt: 'Why?',
        completions: [
          { text: 'one', tokens: [1] },
          { text: 'two', tokens: [2] },
        ],
      },
      { output: 'plain' },
      { id: 7, instruction: 'How?', response: '' },
    ]);
    expect(await readAnswers(path)).toEqual([
      { id: 'x', prompt: 'Why?', texts: ['one', 'two'] },
      { id: '1', texts: ['plain'] },
      { id: '7', prompt: 'How?', texts: [''] },
    ]);
  });

  it('are paired by id, not by place; several answers in their order', () => {
    const a = [
      { id: '1', prompt: 'p1', texts: ['a1', 'a1b'] },
      { id: '2', prompt: 'p2', texts: ['a2'] },
    ];
    const b = [
      { id: '2', texts: ['b2'] },
      { id: '1', texts: ['b1', 'b1b'] },
    ];
    expect(pairAnswers(a, b)).toEqual([
      { id: '1#1', prompt: 'p1', a: 'a1', b: 'b1' },
      { id: '1#2', prompt: 'p1', a: 'a1b', b: 'b1b' },
      { id: '2', prompt: 'p2', a: 'a2', b: 'b2' },
    ]);
    expect(pairAnswers(a, b, [{ id: '2', prompt: 'other words' }])).toEqual([
      { id: '2', prompt: 'other words', a: 'a2', b: 'b2' },
    ]);
  });

  it('are not paired when one is missing', () => {
    const a = [{ id: '1', texts: ['a1'] }];
    expect(() => pairAnswers(a, [{ id: '2', texts: ['b'] }])).toThrow(/B has no answer with id "1"/);
    expect(() => pairAnswers(a, [{ id: '1', texts: ['b'] }])).toThrow(/what the prompt with id "1" is/);
    expect(() => pairAnswers(a, [{ id: '1', prompt: 'p', texts: ['b', 'c'] }])).toThrow(
      /1 answers of A and 2 of B/,
    );
  });

  it('complain with file and line', async () => {
    const twice = file('twice.jsonl', [
      { id: '1', output: 'x' },
      { id: '1', output: 'y' },
    ]);
    await expect(readAnswers(twice)).rejects.toThrow(/Two rows have the id "1"/);
    const bad = file('bad.jsonl', [{ output: 'x' }, { prompt: ['not a message'], output: 'y' }]);
    await expect(readAnswers(bad)).rejects.toMatchObject({ at: { file: bad, line: 2 } });
    await expect(readAnswers(file('none.jsonl', [{ id: '1' }]))).rejects.toThrow(/no completions; it has id/);
  });
});

describe('generateOnServer', () => {
  let server: Awaited<ReturnType<typeof startChatServer>>;
  afterEach(() => server.close());

  it('asks the endpoint that fits the prompt, greedy or with a seed a sample', async () => {
    const seen: SeenRequest[] = [];
    server = await startChatServer((request) => {
      seen.push(request);
      const text = `${request.path} ${request.body.seed ?? '-'}`;
      const choice =
        request.path === '/v1/completions'
          ? { text, finish_reason: 'length' }
          : { message: { content: text }, finish_reason: 'stop' };
      return { kind: 'answer', content: '', body: { choices: [choice], usage: { completion_tokens: 5 } } };
    });
    const client = new ChatServer({ url: server.url });
    const prompts = [
      { id: '1', prompt: 'Once upon' },
      { id: '2', prompt: [{ role: 'user', content: 'Hi' }] as const },
    ];
    const greedy = await generateOnServer(client, prompts, {
      model: 'm',
      chat: false,
      maxNewTokens: 16,
      greedy: true,
      temperature: 0.7,
    });
    expect(greedy).toEqual([
      {
        id: '1',
        prompt: 'Once upon',
        completions: [{ text: '/v1/completions -', finish: 'length', tokenCount: 5 }],
      },
      {
        id: '2',
        prompt: prompts[1]!.prompt,
        completions: [{ text: '/v1/chat/completions -', finish: 'stop', tokenCount: 5 }],
      },
    ]);
    expect(seen[0]!.body).toMatchObject({ prompt: 'Once upon', max_tokens: 16, temperature: 0 });

    const sampled = await generateOnServer(client, prompts.slice(0, 1), {
      model: 'm',
      chat: true,
      maxNewTokens: 16,
      temperature: 0.7,
      topP: 0.9,
      seed: 40,
      samplesPerPrompt: 3,
    });
    expect(sampled[0]!.completions.map(({ text }) => text)).toEqual([
      '/v1/chat/completions 40',
      '/v1/chat/completions 41',
      '/v1/chat/completions 42',
    ]);
    await expect(
      generateOnServer(client, prompts, {
        model: 'm',
        chat: true,
        maxNewTokens: 1,
        greedy: true,
        samplesPerPrompt: 2,
      }),
    ).rejects.toThrow(/same answer 2 times/);
  });
});
