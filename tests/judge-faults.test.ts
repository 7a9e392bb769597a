import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  ChatJudge,
  type JudgedPair,
  judgePairs,
  loadTemplate,
  summarizeVerdicts,
} from '../src/evaluate/judge/index.ts';
import { ResponseCache } from '../src/evaluate/server/cache.ts';
import { ChatServer, type ServerUsage } from '../src/evaluate/server/client.ts';
import { type Reply, type SeenRequest, startChatServer } from './support/chat-server.ts';
import { honestVerdict, testPairs } from './support/judge-pairs.ts';

const PAIRS = 500;
const KEY = 'sk-test-3f9a-never-to-be-seen';

const questionOf = ({ body }: SeenRequest) =>
  Number(/Question (\d+)\?/.exec(body.messages!.at(-1)!.content)![1]);

/** Every kind of trouble, each on its own residue of the question's number; the second try goes well. */
function troubled(request: SeenRequest): Reply {
  const question = questionOf(request);
  const content = honestVerdict(request.body.messages!.at(-1)!.content);
  if (question % 50 === 7) return { kind: 'answer', content: 'I cannot decide between [[A]] and [[B]].' };
  if (question % 50 === 8) return { kind: 'answer', content: 'Both are fine.' };
  if (request.repeat === 0) {
    if (question % 10 === 1) return { kind: 'status', status: 429, headers: { 'retry-after': '0' } };
    if (question % 10 === 2) return { kind: 'reset' };
    if (question % 10 === 3) return { kind: 'torn' };
    if (question % 50 === 4) return { kind: 'status', status: 503 };
    if (question % 50 === 14) return { kind: 'answer', content, delayMs: 400 };
  }
  return { kind: 'answer', content, delayMs: 2 };
}

it('judges 500 pairs through 429s, resets, torn and slow answers and malformed verdicts', async () => {
  const server = await startChatServer(troubled);
  const client = new ChatServer({ url: server.url, firstDelayMs: 5, concurrency: 12 });
  const judge = new ChatJudge(client, 'judge', loadTemplate('pairwise'));
  const judged = await judgePairs(testPairs(PAIRS), judge);
  await server.close();

  const malformed = (id: string) => [7, 8].includes(Number(id) % 50);
  expect(judged.map(({ id }) => id)).toEqual(testPairs(PAIRS).map(({ id }) => id));
  for (const { id, winner } of judged) {
    const number = Number(id);
    const truth = number % 5 === 0 ? 'tie' : number % 2 === 0 ? 'a' : 'b';
    expect(winner, `pair ${id}`).toBe(malformed(id) ? undefined : truth);
  }
  const summary = summarizeVerdicts(judged, judge.name);
  expect(summary).toMatchObject({ n: 480, unparsable: 20, consistency: 1, firstPreferred: 0.5 });
  expect(summary.wins + summary.losses + summary.ties).toBe(480);

  // Each order of each pair was answered once: nothing lost, nothing paid for twice.
  expect(server.answered.size).toBe(2 * PAIRS);
  expect([...server.answered.values()].every((times) => times === 1)).toBe(true);
  expect(client.usage.retries).toBe(server.counts.requests - 2 * PAIRS);
  expect(client.usage.retries).toBe(2 * (3 * 50 + 10));
  expect(client.usage.promptTokens).toBe(100 * 2 * PAIRS);
  expect(server.counts.mostInFlight).toBeLessThanOrEqual(12);
});

it('goes on after SIGKILL without paying twice, and leaks no key', async () => {
  const server = await startChatServer((request) => {
    expect(request.headers.authorization).toBe(`Bearer ${KEY}`);
    // A server that repeats the key in its errors.
    if (request.repeat === 0 && questionOf(request) % 10 === 1) {
      return { kind: 'status', status: 500, text: `bad day for ${KEY}` };
    }
    const verdict = honestVerdict(request.body.messages!.at(-1)!.content);
    return { kind: 'answer', content: verdict, delayMs: 10 };
  });
  const cachePath = join(mkdtempSync(join(tmpdir(), 'mallows-judge-')), 'cache.jsonl');

  const killed = startJudging(server.url, cachePath);
  while (server.counts.answers < 300) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(killed.child.exitCode).toBeNull();
  }
  killed.child.kill('SIGKILL');
  expect((await killed.ended).signal).toBe('SIGKILL');
  const paidBefore = server.counts.answers;
  // The worst that a kill leaves: half a line.
  appendFileSync(cachePath, '{"key":"0123');

  const resumed = await startJudging(server.url, cachePath).ended;
  await server.close();
  expect(resumed.code, resumed.stderr).toBe(0);
  const { judged, usage } = JSON.parse(resumed.stdout) as { judged: JudgedPair[]; usage: ServerUsage };
  expect(judged.map(({ id }) => id)).toEqual(testPairs(PAIRS).map(({ id }) => id));
  expect(summarizeVerdicts(judged, 'judge')).toMatchObject({
    n: PAIRS,
    unparsable: 0,
    ties: 100,
    wins: 200,
    losses: 200,
  });

  // Only what was in flight at the kill (8 at most) may have been asked again.
  expect(usage.cached.answers).toBeGreaterThanOrEqual(paidBefore - 8);
  expect(server.counts.answers).toBeLessThanOrEqual(2 * PAIRS + 8);
  expect(server.answered.size).toBe(2 * PAIRS);

  for (const text of [readFileSync(cachePath, 'utf8'), resumed.stdout, resumed.stderr]) {
    expect(text.includes(KEY)).toBe(false);
  }
  // And the complete cache answers everything alone: no server is left to ask.
  const cache = ResponseCache.open(cachePath);
  const client = new ChatServer({ url: server.url, cache, apiKey: KEY, retries: 0 });
  await judgePairs(testPairs(PAIRS), new ChatJudge(client, 'judge', loadTemplate('pairwise')));
  expect(client.usage).toMatchObject({ requests: 0, cached: { answers: 2 * PAIRS, promptTokens: 100_000 } });
  cache.close();
});

function startJudging(url: string, cachePath: string) {
  const support = new URL('./support/', import.meta.url).pathname;
  const child = spawn(
    process.execPath,
    [`${support}run-typescript.mjs`, `${support}judge-process.ts`, url, cachePath, String(PAIRS)],
    { env: { ...process.env, OPENAI_API_KEY: KEY } },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>(
    (resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    },
  );
  return { child, ended };
}
