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
