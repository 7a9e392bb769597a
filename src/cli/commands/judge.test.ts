import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { startChatServer } from '../../../tests/support/chat-server.ts';
import { runMallows } from '../../../tests/support/mallows.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-judge-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

it('keeps the answers that are under way when it is interrupted, which are paid for', async () => {
  let stopped = false;
  const server = await startChatServer(() => {
    if (!stopped && server.counts.inFlight === 2) {
      stopped = true;
      setImmediate(() => process.emit('SIGINT', 'SIGINT'));
    }
    return { kind: 'answer', content: '[[C]]', delayMs: 200 };
  });
  for (const side of ['a', 'b']) {
    const rows = Array.from({ length: 20 }, (_, i) => ({ id: `${i}`, prompt: `${i}?`, output: side }));
    writeFileSync(at(`${side}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const { code } = await runMallows(
    ...[
      'judge',
      '--a',
      at('a.jsonl'),
      '--b',
      at('b.jsonl'),
      '--judge',
      'openai:m',
      '--judge-url',
      server.url,
    ],
    ...['--concurrency', '2', '--output', at('judged.jsonl')],
  );
  await server.close();
  expect(code).toBe(130);
  expect(server.counts).toMatchObject({ requests: 2, answers: 2 });
  expect(readFileSync(at('judged.cache.jsonl'), 'utf8').trimEnd().split('\n')).toHaveLength(2);
});

it('says of a single pair that it is left out', async () => {
  const server = await startChatServer(({ body }) =>
    body.messages!.at(-1)!.content.includes('Question 0?')
      ? { kind: 'status', status: 400, text: 'too long' }
      : { kind: 'answer', content: '[[C]]' },
  );
  for (const side of ['e', 'f']) {
    const rows = [0, 1].map((i) => ({ id: `${i}`, prompt: `Question ${i}?`, output: side }));
    writeFileSync(at(`${side}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const argv = ['judge', '--a', at('e.jsonl'), '--b', at('f.jsonl'), '--judge', 'openai:m'];
  const said = await runMallows(...argv, '--judge-url', server.url, '--output', at('single.jsonl'));
  await server.close();
  expect(said.stdout).toMatch(/^1 pair left out, .*: 1 refused by the judge$/m);
});

it('says how many pairs the judge refused or did not finish, and why', async () => {
  const server = await startChatServer(({ body }) => {
    const question = Number(/Question (\d+)\?/.exec(body.messages!.at(-1)!.content)![1]);
    if (question < 3) return { kind: 'status', status: 400, text: 'too long' };
    const cut = question === 3;
    const choice = { message: { content: cut ? 'Let me' : '[[C]]' }, finish_reason: cut ? 'length' : 'stop' };
    return { kind: 'answer', content: '', body: { choices: [choice] } };
  });
  for (const side of ['c', 'd']) {
    const rows = Array.from({ length: 9 }, (_, i) => ({
      id: `${i}`,
      prompt: `Question ${i}?`,
      output: side,
    }));
    writeFileSync(at(`${side}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const argv = ['judge', '--a', at('c.jsonl'), '--b', at('d.jsonl'), '--judge', 'openai:m'];
  argv.push('--judge-url', server.url, '--output', at('left-out.jsonl'));
  const said = await runMallows(...argv);
  await server.close();
  expect(said.code, said.stderr).toBe(0);
  expect(said.stdout).toContain(
    '4 pairs left out, and the rates speak of the others alone: 3 refused by the judge, 1 cut off before a verdict',
  );
  expect(said.stdout).toMatch(/the first refusal: .* answered 400: too long/);
  expect(JSON.parse(readFileSync(at('left-out.summary.json'), 'utf8'))).toMatchObject({
    ...{ n: 5, refused: 3, cutOff: 1, unparsable: 0 },
    firstRefusal: expect.stringContaining('too long'),
  });
});
