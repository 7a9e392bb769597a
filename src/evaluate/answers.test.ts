import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type SeenRequest, startChatServer } from '../../tests/support/chat-server.ts';
import { loadPrompts } from '../data/index.ts';
import { pairAnswers, readAnswers } from './answers.ts';
import { ResponseCache } from './server/cache.ts';
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
      {
        id: 8,
        messages: [
          { role: 'user', content: 'Who?' },
          { role: 'assistant', content: 'I.' },
        ],
        text: 'I.',
      },
    ]);
    expect(await readAnswers(path)).toEqual([
      { id: 'x', prompt: 'Why?', texts: ['one', 'two'], at: { file: path, line: 1 } },
      { id: '1', texts: ['plain'], at: { file: path, line: 2 } },
      { id: '7', prompt: 'How?', texts: [''], at: { file: path, line: 3 } },
      { id: '8', prompt: [{ role: 'user', content: 'Who?' }], texts: ['I.'], at: { file: path, line: 4 } },
    ]);
  });

  it.each([
    ['an instruction’s input', { instruction: 'Translate.', input: 'Bonjour' }],
    ['a system prompt', { prompt: 'Hi', system: 'Be brief.' }],
    ['a history', { instruction: 'And then?', input: '', history: [['Once', 'upon a time']] }],
  ])('are to the prompts of a prompts file with the same columns: %s', async (_, columns) => {
    const prompts = await loadPrompts(file('prompts.jsonl', [columns]));
    const answers = await readAnswers(file('columns.jsonl', [{ ...columns, output: 'yes' }]));
    expect(pairAnswers(answers, answers, prompts.examples)).toMatchObject([{ a: 'yes', b: 'yes' }]);
    // Each column counts.
    const [first] = Object.entries(columns);
    const other = await readAnswers(file('other.jsonl', [{ ...Object.fromEntries([first!]), output: 'no' }]));
    expect(() => pairAnswers(answers, other)).toThrow(expect.objectContaining({ code: 'prompts-differ' }));
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
    expect(pairAnswers(a, b, [{ id: '2', prompt: ' p2' }])).toEqual([
      { id: '2', prompt: ' p2', a: 'a2', b: 'b2' },
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

  it('are not paired when one side answers more prompts, but for those that are named', () => {
    const a = [{ id: '1', prompt: 'p1', texts: ['a1'] }];
    const b = ['1', '2'].map((id) => ({ id, prompt: `p${id}`, texts: [`b${id}`] }));
    expect(() => pairAnswers(a, b)).toThrow(/A has no answer with id "2"/);
    expect(() => pairAnswers(b, a)).toThrow(/B has no answer with id "2"/);
    expect(pairAnswers(a, b, [{ id: '1', prompt: 'p1' }])).toHaveLength(1);
  });

  it('are of one prompt however it is written, as text, as a turn, or as a transcript', async () => {
    const transcript = '\n\nHuman: Hi\n\nAssistant:';
    const quoted = `Continue this.${transcript}`;
    const turn = (content: string) => [{ role: 'user', content }];
    for (const writings of [
      ['Hi', turn('Hi'), transcript, turn(transcript)],
      [quoted, turn(quoted)],
    ]) {
      const sides = await Promise.all(
        writings.map((prompt, i) => readAnswers(file(`written-${i}.jsonl`, [{ prompt, output: 'x' }]))),
      );
      for (const side of sides) expect(pairAnswers(sides[0]!, side)).toHaveLength(1);
    }
  });

  it.each([
    ['prompt', []],
    ['messages', []],
    ['messages', [{ role: 'assistant', content: 'x' }]],
  ])('name a row that asks nothing: %s %j', async (column, value) => {
    const path = file('nothing.jsonl', [{ [column]: value, output: 'x' }]);
    await expect(readAnswers(path)).rejects.toMatchObject({
      code: 'wrong-type',
      at: { file: path, line: 1 },
    });
  });

  it('are not paired when they answer different prompts, which numbered rows would hide', async () => {
    const question = 'Which of the many capitals that Europe has do you like best';
    const rows = (ending: string) => [
      { prompt: 'Why?', output: 'x' },
      { prompt: `${question} in ${ending}?`, output: 'y' },
    ];
    const [a, b] = [file('summer.jsonl', rows('summer')), file('winter.jsonl', rows('winter'))];
    const [ofA, ofB] = [await readAnswers(a), await readAnswers(b)];
    expect(() => pairAnswers(ofA, ofB)).toThrow(
      expect.objectContaining({
        code: 'prompts-differ',
        message:
          `The prompt with id "1" is "…do you like best in summer?" in ${a}:2 ` +
          `and "…do you like best in winter?" in ${b}:2.`,
      }),
    );
    // Also where the prompts are given: the answers are to other ones.
    expect(() => pairAnswers(ofA, ofB, [{ id: '1', prompt: 'p' }])).toThrow(/prompt with id "1"/);
    expect(pairAnswers(ofA, ofB, [{ id: '0', prompt: 'Why?' }])).toHaveLength(1);
    const unread = pairAnswers.bind(null, [{ id: '0', prompt: 'p', texts: ['x'] }]);
    expect(() => unread([{ id: '0', prompt: 'q', texts: ['y'] }])).toThrow('is "p" in A and "q" in B.');
  });

  it('are not paired when the prompts that are named are others than either side’s', () => {
    const stating = [{ id: '0', prompt: 'Capital of France?', texts: ['Paris'] }];
    const silent = [{ id: '0', texts: ['Rome'] }];
    const named = [{ id: '0', prompt: 'Best pizza?' }];
    expect(() => pairAnswers(stating, silent, named)).toThrow(
      'The prompt with id "0" is "Best pizza?" in the prompts and "Capital of France?" in A.',
    );
    expect(() => pairAnswers(silent, stating, named)).toThrow(
      'in the prompts and "Capital of France?" in B.',
    );
    expect(pairAnswers(silent, silent, named)).toMatchObject([{ prompt: 'Best pizza?' }]);
    // Each may write it in a way of its own.
    const chat = [{ role: 'user', content: 'Hi' }] as const;
    const [text, transcript] = ['Hi', '\n\nHuman: Hi\n\nAssistant:'].map((prompt) => [
      { id: '0', prompt, texts: ['x'] },
    ]);
    expect(pairAnswers(text!, transcript!, [{ id: '0', prompt: chat }])).toMatchObject([{ prompt: chat }]);
  });

  it('are paired when one side was asked in a chat and the other in text', () => {
    const turns = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello.' },
      { role: 'user', content: 'Who are you?' },
    ] as const;
    const written = [
      ['Hi', turns.slice(0, 1)],
      ['\n\nHuman: Hi\n\nAssistant:', turns.slice(0, 1)],
      ['\n\nHuman: Hi \n\nAssistant: Hello.\n\nHuman: Who are you?\n\nAssistant:', turns],
    ] as const;
    for (const [text, chat] of written) {
      const a = [{ id: '0', prompt: text, texts: ['x'] }];
      const b = [{ id: '0', prompt: chat, texts: ['y'] }];
      expect(pairAnswers(a, b)).toMatchObject([{ prompt: text }]);
      expect(pairAnswers(b, a)).toMatchObject([{ prompt: chat }]);
    }
    const [asText, asTranscript] = written.map(([text]) => [{ id: '0', prompt: text, texts: ['x'] }]);
    expect(pairAnswers(asText!, asTranscript!)).toHaveLength(1);
    const other = [{ id: '0', prompt: turns.slice(0, 1), texts: ['y'] }];
    expect(() => pairAnswers([{ id: '0', prompt: turns, texts: ['x'] }], other)).toThrow(
      /prompt with id "0"/,
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

  it('waits for what was sent when it is stopped, keeps it, and then asks for the rest alone', async () => {
    const stop = new AbortController();
    server = await startChatServer(() => {
      stop.abort(new Error('interrupted'));
      return { kind: 'answer', content: '', body: { choices: [{ text: 'yes' }] }, delayMs: 20 };
    });
    const prompts = Array.from({ length: 12 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
    const path = join(folder, 'stopped', 'cache.jsonl');
    const run = async (signal?: AbortSignal) => {
      const cache = ResponseCache.open(path);
      const client = new ChatServer({ url: server.url, cache, concurrency: 4 });
      const asked = { model: 'm', chat: false, maxNewTokens: 4, ...(signal && { signal }) };
      const outcome = await generateOnServer(client, prompts, asked).catch((error: Error) => error);
      const kept = cache.size;
      cache.close();
      return { outcome, kept, requests: client.usage.requests };
    };
    const first = await run(stop.signal);
    expect(first.outcome).toMatchObject({ message: 'interrupted' });
    expect(first.requests).toBeLessThan(12);
    expect(first.kept).toBe(first.requests);
    const second = await run();
    expect(second.outcome).toHaveLength(12);
    expect(second.requests).toBe(12 - first.kept);
  });

  it('asks for all others when a prompt is refused, keeps them, and then asks for that one alone', async () => {
    let limit = 20;
    server = await startChatServer(({ body }) =>
      String(body.prompt).length > limit
        ? { kind: 'status', status: 400, text: 'context length exceeded' }
        : { kind: 'answer', content: '', body: { choices: [{ text: 'yes' }] }, delayMs: 2 },
    );
    const prompts = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
    for (const i of [3, 7]) prompts[i] = { id: `${i}`, prompt: `Prompt ${i} that is too long` };
    const path = join(folder, 'refused', 'cache.jsonl');
    const run = async () => {
      const cache = ResponseCache.open(path);
      const client = new ChatServer({ url: server.url, cache, concurrency: 4 });
      const asked = { model: 'm', chat: false, maxNewTokens: 4 };
      const outcome = await generateOnServer(client, prompts, asked).catch((error: Error) => error);
      const kept = cache.size;
      cache.close();
      return { outcome, kept, requests: client.usage.requests };
    };
    const first = await run();
    expect(first.outcome).toMatchObject({
      code: 'request-refused',
      message: expect.stringMatching(
        /no answer to 2 of 40 prompts \("3", "7"\): .* 400: context length exceeded/,
      ),
    });
    expect(first.outcome).toHaveProperty('hint', expect.stringContaining('Shorten or reword them'));
    // Nothing came in after the cache was closed.
    expect([first.kept, first.requests, server.counts.requests]).toEqual([38, 40, 40]);
    limit = 40;
    const second = await run();
    expect(second.outcome).toHaveLength(40);
    expect([second.kept, second.requests]).toEqual([40, 2]);
  });

  it('names a few of many refused prompts, and does not blame their length where all were refused', async () => {
    server = await startChatServer(() => ({ kind: 'status', status: 400, text: 'unknown parameter' }));
    const client = new ChatServer({ url: server.url });
    const prompts = Array.from({ length: 9 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
    const asked = { model: 'm', chat: false, maxNewTokens: 4 };
    await expect(generateOnServer(client, prompts, asked)).rejects.toMatchObject({
      message: expect.stringContaining('9 of 9 prompts ("0", "1", "2", "3", "4", and 4 more)'),
      hint: undefined,
    });
  });

  it('takes what a server withheld for no answer, does not keep it, and asks for it again', async () => {
    let filtered = true;
    server = await startChatServer(({ body }) => {
      const content = filtered && body.messages![0]!.content === 'Prompt 2' ? null : 'yes';
      const choice = { message: { content }, finish_reason: content === null ? 'content_filter' : 'stop' };
      return { kind: 'answer', content: '', body: { choices: [choice] } };
    });
    const prompts = Array.from({ length: 4 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
    const cache = ResponseCache.open(join(folder, 'withheld', 'cache.jsonl'));
    const client = new ChatServer({ url: server.url, cache });
    const asked = { model: 'm', chat: true, maxNewTokens: 4 };
    await expect(generateOnServer(client, prompts, asked)).rejects.toMatchObject({
      code: 'request-refused',
      message:
        'The server gave no answer to 1 of 4 prompts ("2"): it sent no text (finish_reason content_filter)',
    });
    expect(cache.size).toBe(3);
    filtered = false;
    expect(await generateOnServer(client, prompts, asked)).toHaveLength(4);
    expect(client.usage.requests).toBe(5);
    cache.close();
  });

  it('says that longer answers are needed where a model spends all its tokens on reasoning', async () => {
    server = await startChatServer(() => ({
      kind: 'answer',
      content: '',
      body: { choices: [{ message: { content: null }, finish_reason: 'length' }] },
    }));
    const client = new ChatServer({ url: server.url });
    const asked = { model: 'm', chat: true, maxNewTokens: 4 };
    await expect(generateOnServer(client, [{ id: '0', prompt: 'Hi' }], asked)).rejects.toMatchObject({
      message: expect.stringContaining('1 of 1 prompts ("0"): it sent no text within 4 tokens'),
      hint: expect.stringContaining('Allow longer answers'),
    });
  });

  it('ends with what ended the run, and everything in flight is over by then', async () => {
    server = await startChatServer(({ body }) =>
      body.prompt === 'Prompt 5'
        ? { kind: 'status', status: 401 }
        : { kind: 'answer', content: '', body: { choices: [{ text: 'yes' }] }, delayMs: 30 },
    );
    const client = new ChatServer({ url: server.url, concurrency: 6 });
    const prompts = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
    await expect(
      generateOnServer(client, prompts, { model: 'm', chat: false, maxNewTokens: 4 }),
    ).rejects.toMatchObject({ code: 'api-key-refused' });
    expect(server.counts).toMatchObject({ requests: 6, answers: 5 });
  });
});
