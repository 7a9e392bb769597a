import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Reply, type SeenRequest, startChatServer } from '../../../tests/support/chat-server.ts';
import { ResponseCache, requestKey } from './cache.ts';
import { ChatServer, type PostOptions, type ServerOptions } from './client.ts';
import { chatCompletion } from './completions.ts';
import { retryAfter } from './retry.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serve(reply: (request: SeenRequest) => Reply, options: Partial<ServerOptions> = {}) {
  const server = await startChatServer(reply);
  open.push(server);
  const client = new ChatServer({ url: server.url, firstDelayMs: 1, ...options });
  const ask = (content: string, options: PostOptions = {}) =>
    client.post(
      '/chat/completions',
      { model: 'm', messages: [{ role: 'user', content }] },
      chatCompletion,
      options,
    );
  return { server, client, ask };
}

describe('ChatServer', () => {
  it('waits at least as long as Retry-After asks', async () => {
    const waits: number[] = [];
    const { ask } = await serve(
      ({ repeat }) =>
        repeat === 0
          ? { kind: 'status', status: 429, headers: { 'retry-after-ms': '120' } }
          : { kind: 'answer', content: 'yes' },
      { onRetry: (_, __, delay) => waits.push(delay) },
    );
    const start = performance.now();
    expect((await ask('?')).text).toBe('yes');
    expect(performance.now() - start).toBeGreaterThanOrEqual(119);
    expect(waits).toEqual([120]);
  });

  it('doubles its waits, with jitter', async () => {
    const waits: number[] = [];
    const { ask } = await serve(
      ({ repeat }) => (repeat < 5 ? { kind: 'status', status: 503 } : { kind: 'answer', content: 'yes' }),
      { firstDelayMs: 4, onRetry: (_, __, delay) => waits.push(delay) },
    );
    await ask('?');
    expect(waits).toHaveLength(5);
    waits.forEach((wait, i) => {
      expect(wait).toBeGreaterThanOrEqual(2 * 2 ** i);
      expect(wait).toBeLessThanOrEqual(4 * 2 ** i);
    });
  });

  it('gives up on silence after its retries, and sends nothing more', async () => {
    const { ask, client } = await serve(() => ({ kind: 'silent' }), { timeoutMs: 40, retries: 2 });
    await expect(ask('one')).rejects.toMatchObject({
      code: 'server-unavailable',
      message: expect.stringMatching(/no answer within 0\.04 s \(after 3 attempts\)/),
    });
    await expect(ask('two')).rejects.toMatchObject({ code: 'server-unavailable' });
    expect(client.usage.requests).toBe(3);
  });

  it('wakes requests that wait for another attempt when one ends the run', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    let waiting = 0;
    const { ask, client } = await serve(
      ({ body }) =>
        body.messages![0]!.content === 'wrong key'
          ? { kind: 'status', status: 401 }
          : { kind: 'status', status: 503, headers: { 'retry-after': '60' } },
      {
        concurrency: 13,
        onRetry: () => {
          if (++waiting === 12) ask('wrong key').catch(() => {});
        },
      },
    );
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => ask(`patient ${i}`)));
    process.off('warning', warn);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'api-key-refused' } });
    expect(client.usage.requests).toBe(13);
    expect(warnings).toEqual([]);
  });

  it('sends nothing more once an answer cannot be kept', async () => {
    const full = new Error('no space left');
    const cache = {
      get: () => undefined,
      put: () => {
        throw full;
      },
    } as unknown as ResponseCache;
    const { ask, client } = await serve(() => ({ kind: 'answer', content: 'yes' }), { cache });
    await expect(ask('one')).rejects.toBe(full);
    await expect(ask('two')).rejects.toBe(full);
    expect(client.usage.requests).toBe(1);
  });

  it('tells of an answer that could not be kept rather than of the interruption, for all requests', async () => {
    const [stop, full] = [new AbortController(), new Error('no space left')];
    const cache = {
      get: () => undefined,
      put: () => {
        throw full;
      },
    } as unknown as ResponseCache;
    const { ask } = await serve(
      ({ body }) => {
        if (body.messages![0]!.content === 'waits') return { kind: 'status', status: 503 };
        setTimeout(() => stop.abort(new Error('interrupted')), 10);
        return { kind: 'answer', content: 'yes', delayMs: 40 };
      },
      { cache, firstDelayMs: 60_000 },
    );
    const { signal } = stop;
    const outcomes = await Promise.allSettled([ask('waits', { signal }), ask('answered', { signal })]);
    expect(outcomes).toMatchObject([{ reason: full }, { reason: full }]);
  });

  it('keeps what was sent when a signal says to send nothing more', async () => {
    const stop = new AbortController();
    const { ask, server } = await serve(
      () => {
        stop.abort(new Error('enough'));
        return { kind: 'answer', content: 'yes', delayMs: 20 };
      },
      { concurrency: 1 },
    );
    const [sent, queued] = await Promise.allSettled(
      ['one', 'two'].map((content) => ask(content, { signal: stop.signal })),
    );
    expect(sent).toMatchObject({ status: 'fulfilled', value: { text: 'yes' } });
    expect(queued).toMatchObject({ status: 'rejected', reason: stop.signal.reason });
    expect(server.counts.requests).toBe(1);
    expect((await ask('three')).text).toBe('yes');
  });

  it('does not send a request again, nor wait to, once its own signal fires', async () => {
    const stop = new AbortController();
    const { ask, server } = await serve(
      ({ repeat, body }) =>
        repeat === 0 && body.messages![0]!.content === 'one'
          ? { kind: 'status', status: 503, headers: { 'retry-after': '60' } }
          : { kind: 'answer', content: 'yes' },
      { onRetry: () => setTimeout(() => stop.abort(new Error('enough')), 5) },
    );
    await expect(ask('one', { signal: stop.signal })).rejects.toThrow('enough');
    expect(server.counts.requests).toBe(1);
    expect((await ask('two')).text).toBe('yes');
  });

  it('does not retry what no wait can cure', async () => {
    for (const [status, text, code] of [
      [401, 'wrong key', 'api-key-refused'],
      [404, 'no such model', 'server-refused'],
      [429, '{"error":{"code":"insufficient_quota"}}', 'server-refused'],
    ] as const) {
      const { ask, client } = await serve(() => ({ kind: 'status', status, text }));
      await expect(ask('?')).rejects.toMatchObject({ code });
      expect(client.usage.requests).toBe(1);
    }
    const { ask } = await serve(() => ({ kind: 'status', status: 429, headers: { 'retry-after': '3600' } }));
    await expect(ask('?')).rejects.toThrow(/asks to wait 3600 s/);
  });

  it('goes on with other requests when one is refused', async () => {
    const { ask } = await serve(({ body }) =>
      body.messages![0]!.content === 'too long'
        ? { kind: 'status', status: 400, text: 'context length exceeded' }
        : { kind: 'answer', content: 'yes' },
    );
    await expect(ask('too long')).rejects.toMatchObject({ code: 'request-refused' });
    expect((await ask('short')).text).toBe('yes');
  });

  it('never shows the key: errors, retries and what it inspects as', async () => {
    const apiKey = 'sk-secret-123-of-the-test';
    const said: string[] = [];
    const { ask, client } = await serve(
      ({ headers, repeat }) => ({
        kind: 'status',
        status: repeat === 0 ? 500 : 401,
        text: `bad ${headers.authorization}`,
      }),
      { apiKey, onRetry: (reason) => said.push(reason) },
    );
    const error = await ask('?').catch((e: Error) => e);
    expect(said.join()).toContain('bad Bearer [API key]');
    const { inspect } = await import('node:util');
    for (const text of [
      ...said,
      inspect(error, { depth: 9 }),
      inspect(client, { depth: 9, showHidden: true }),
    ]) {
      expect(text).not.toContain(apiKey);
    }
    expect(() => new ChatServer({ url: 'http://user:pass@localhost/v1' })).toThrow(/user name or password/);
  });

  it('pays for an answer that is withheld, shows no key of it, and does not try again', async () => {
    const apiKey = 'sk-secret-123-of-the-test';
    const message = { content: null, refusal: `Not with ${apiKey}.` };
    const { ask, client } = await serve(
      () => ({
        kind: 'answer',
        content: '',
        body: { choices: [{ message }], usage: { prompt_tokens: 7, completion_tokens: 0 } },
      }),
      { apiKey },
    );
    await expect(ask('?')).rejects.toMatchObject({
      code: 'answer-withheld',
      message: 'it refused: Not with [API key].',
    });
    expect(client.usage).toMatchObject({ requests: 1, promptTokens: 7 });
  });

  it('leaves answers as they are, whatever the key, and errors too where the key is a mere word', async () => {
    for (const apiKey of ['EMPTY', 'x', 's', 'sk-secret-123-of-the-test']) {
      const { ask, client } = await serve(
        ({ body }) =>
          body.messages![0]!.content === 'bad'
            ? { kind: 'status', status: 400, text: 'the next list was EMPTY' }
            : { kind: 'answer', content: `next: EMPTY ${apiKey}` },
        { apiKey },
      );
      expect((await ask('?')).text).toBe(`next: EMPTY ${apiKey}`);
      await expect(ask('bad')).rejects.toThrow('answered 400: the next list was EMPTY');
      expect(client.usage.requests).toBe(2);
    }
  });

  it('puts the path before an address’s query, and shows neither the query nor what it holds', async () => {
    const secret = 'not-to-be-seen-0123';
    const said: string[] = [];
    const gateway = await startChatServer(({ path, repeat }) =>
      repeat === 0 ? { kind: 'reset' } : { kind: 'status', status: 404, text: `Cannot POST ${path}` },
    );
    open.push(gateway);
    const client = new ChatServer({
      url: `${gateway.url}/?api-version=2024&key=${secret}`,
      firstDelayMs: 1,
      onRetry: (reason) => said.push(reason),
    });
    expect(client.url).toBe(gateway.url);
    const error = await client.post('/chat/completions', {}, chatCompletion).catch((e: Error) => e);
    expect(String(error)).toContain(`${gateway.url} answered 404: Cannot POST /v1/chat/completions[query]`);
    expect(said.join()).toContain(`No connection to ${gateway.url}: `);
    expect(said.join() + String(error)).not.toContain(secret);
    // Servers may say what they were sent, what it stands for, or a part.
    for (const [query, text, shown] of [
      ['?k=1', '/v1?k=1 is unknown', '/v1[query] is unknown'],
      ['?v=2024&key=abcd+efgh%2Fijklmn', 'key=abcd+efgh%2Fijklmn', 'key=[key]'],
      ['?v=2024&key=abcd+efgh%2Fijklmn', 'wrong key abcd efgh/ijklmn', 'wrong key [key]'],
      ['?v=2024&key=abcd+efgh%2Fijklmn', 'wrong key abcd+efgh/ijklmn', 'wrong key [key]'],
      ['?0123456789abcdef', 'wrong key 0123456789abcdef', 'wrong key [query]'],
    ] as const) {
      const echo = await startChatServer(() => ({ kind: 'status', status: 401, text }));
      open.push(echo);
      const asked = new ChatServer({ url: echo.url + query }).post('/chat/completions', {}, chatCompletion);
      await expect(asked, text).rejects.toThrow(`answered 401: ${shown}`);
    }
    expect(() => new ChatServer({ url: `${gateway.url}?key=${secret}#part` })).toThrow(
      `The address ${gateway.url} has a fragment`,
    );
    expect(() => new ChatServer({ url: `nowhere?key=${secret}` })).toThrow('"nowhere" is not an address');
  });

  it('asks equal requests once, and again where they are meant as separate samples', async () => {
    const { ask, client } = await serve(() => ({ kind: 'answer', content: 'yes', delayMs: 20 }));
    await Promise.all([ask('same'), ask('same'), ask('same', { sample: 1 }), ask('other')]);
    expect(client.usage.requests).toBe(3);
  });

  it('retries an answer that is no completion', async () => {
    const { ask } = await serve(({ repeat }) =>
      repeat === 0
        ? { kind: 'answer', content: '', body: { choices: [] } }
        : { kind: 'answer', content: 'yes' },
    );
    expect((await ask('?')).text).toBe('yes');
  });

  it('stops waiting when it is told to', async () => {
    const stop = new AbortController();
    const { signal } = stop;
    const { ask } = await serve(() => ({ kind: 'status', status: 503, headers: { 'retry-after': '60' } }), {
      onRetry: () => setTimeout(() => stop.abort(new Error('interrupted')), 10),
    });
    await expect(ask('?', { signal })).rejects.toThrow('interrupted');
    const { ask: late, client } = await serve(() => ({ kind: 'silent' }));
    await expect(late('?', { signal })).rejects.toThrow('interrupted');
    expect(client.usage.requests).toBe(0);
  });
});

describe('retryAfter', () => {
  it('reads seconds, dates and milliseconds', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const read = (headers: Record<string, string>) => retryAfter(new Headers(headers), now);
    expect(read({ 'retry-after': '2' })).toBe(2000);
    expect(read({ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' })).toBe(30_000);
    expect(read({ 'retry-after': 'Thu, 01 Jan 2025 00:00:00 GMT' })).toBe(0);
    expect(read({ 'retry-after-ms': '250', 'retry-after': '9' })).toBe(250);
    expect(read({ 'retry-after': 'soon' })).toBeUndefined();
    expect(read({})).toBeUndefined();
  });
});

describe('ResponseCache', () => {
  const path = () => join(mkdtempSync(join(tmpdir(), 'mallows-cache-')), 'deep', 'cache.jsonl');

  it('keeps answers over processes, whatever the order of a request’s fields', () => {
    const file = path();
    const first = ResponseCache.open(file);
    first.put({ a: 1, b: { c: 2, d: [1, 2] } }, { text: 'kept' });
    first.put({ a: 1, b: { d: [1, 2], c: 2 } }, { text: 'ignored: the same request' });
    first.close();
    const second = ResponseCache.open(file);
    expect(second.size).toBe(1);
    expect(second.get({ b: { d: [1, 2], c: 2 }, a: 1 })).toEqual({ text: 'kept' });
    expect(second.get({ a: 1, b: { c: 2, d: [2, 1] } })).toBeUndefined();
    second.close();
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(2);
  });

  it('cuts a torn tail and refuses a damaged middle', () => {
    const file = path();
    const first = ResponseCache.open(file);
    first.put('request', 'answer');
    first.close();
    appendFileSync(file, '{"key":"torn');
    const second = ResponseCache.open(file);
    second.put('other', 'answer 2');
    second.close();
    const third = ResponseCache.open(file);
    expect([third.get('request'), third.get('other'), third.size]).toEqual(['answer', 'answer 2', 2]);
    third.close();
    writeFileSync(file, 'not json\n');
    expect(() => ResponseCache.open(file)).toThrow(/Line 1 .* is not JSON/);
  });

  it('is one process’s at a time', () => {
    const file = path();
    const cache = ResponseCache.open(file);
    expect(() => ResponseCache.open(file)).toThrow(/Another process is using the cache/);
    cache.close();
    ResponseCache.open(file).close();
  });

  it('has stable keys', () => {
    expect(requestKey({ b: 1, a: 'ü' })).toBe(requestKey({ a: 'ü', b: 1 }));
    expect(requestKey([1, 2])).not.toBe(requestKey([2, 1]));
  });
});
