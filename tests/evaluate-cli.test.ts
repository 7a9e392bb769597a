import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { main } from '../src/cli/main.ts';
import { startChatServer } from './support/chat-server.ts';
import { honestVerdict, testPairs } from './support/judge-pairs.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-evaluate-cli-'));
const at = (name: string) => join(folder, name);
const KEY = 'sk-cli-test-key';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

async function mallows(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      written[name] += String(chunk);
      return true;
    });
  }
  const code = await main(argv);
  vi.restoreAllMocks();
  return { code, ...written };
}

it('winrate prints a table, JSON lines and a file', async () => {
  const csv = 'model,index,output_len,preference\nmine,0,10,1.25\nmine,1,14,1.75\nmine,2,12,2\n';
  writeFileSync(at('annotations.csv'), csv);
  writeFileSync(at('items.csv'), 'index,baseline_len,instruction_difficulty\n0,12,0.1\n1,12,0\n2,11,-0.2\n');
  const json = await mallows(
    'winrate',
    at('annotations.csv'),
    '--items',
    at('items.csv'),
    '--json',
    '--output',
    at('w.json'),
  );
  expect(json.code, json.stderr).toBe(0);
  const result = JSON.parse(json.stdout);
  expect(result).toMatchObject({ model: 'mine', n: 3, lcApproximate: true });
  expect(result.winRate).toBeCloseTo(200 / 3, 10);
  expect(result.standardError).toBeCloseTo((100 * Math.sqrt(7 / 48)) / Math.sqrt(3), 10);
  expect(JSON.parse(readFileSync(at('w.json'), 'utf8'))).toEqual(result);
  const table = await mallows('winrate', at('annotations.csv'));
  expect(table.stdout).toMatch(/mine .* 66\.67 ± 22\.05 +3 +12/);
  expect(table.stdout).toContain('--items');
  expect((await mallows('winrate', at('nosuch.csv'))).code).toBe(3);
});

it('judge asks a server, writes verdicts, resumes for nothing, and keeps the key to itself', async () => {
  vi.stubEnv('OPENAI_API_KEY', KEY);
  const server = await startChatServer(({ body, headers }) => ({
    kind: 'answer',
    content: `${headers.authorization} ${honestVerdict(body.messages!.at(-1)!.content)}`,
  }));
  const pairs = testPairs(20);
  for (const side of ['a', 'b'] as const) {
    const rows = pairs.map(({ id, prompt, ...answers }) => ({
      id,
      prompt,
      completions: [{ text: answers[side] }],
    }));
    writeFileSync(at(`${side}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const argv = [
    'judge',
    '--a',
    at('a.jsonl'),
    '--b',
    at('b.jsonl'),
    '--judge',
    'openai:m',
    '--judge-url',
    server.url,
  ];
  argv.push('--output', at('judged.jsonl'), '--price', '1,10');
  const first = await mallows(...argv);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stdout).toMatch(/win rate of a\.jsonl: 50\.0 % \(95 % interval/);
  expect(first.stdout).toMatch(/8 won, 8 lost, 4 tied of 20 pairs/);
  expect(first.stdout).toContain('No difference');
  // 40 answers of 100 + 10 tokens at $1 and $10 a million.
  expect(first.stdout).toContain('4000 + 400 tokens, $0.0080');
  const again = await mallows(...argv, '--json');
  expect(JSON.parse(again.stdout)).toMatchObject({
    n: 20,
    cost: 0,
    usage: { requests: 0, cached: { answers: 40 } },
  });
  const rows = readFileSync(at('judged.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows.map(({ id }) => id)).toEqual(pairs.map(({ id }) => id));
  expect(rows[1]).toMatchObject({
    winner: 'b',
    verdicts: [
      { shownFirst: 'a', winner: 'b' },
      { shownFirst: 'b', winner: 'b' },
    ],
  });
  const files = ['judged.jsonl', 'judged.cache.jsonl', 'judged.summary.json'].map((name) =>
    readFileSync(at(name), 'utf8'),
  );
  for (const text of [...files, first.stdout, first.stderr, again.stdout, again.stderr]) {
    expect(text.includes(KEY)).toBe(false);
  }
  await server.close();
});

it('judge says what is wrong with its arguments', async () => {
  const bad = await mallows('judge', '--a', at('a.jsonl'), '--b', at('b.jsonl'), '--judge', 'gpt');
  expect(bad.code).toBe(2);
  expect(bad.stderr).toContain('openai:MODEL or cmd:COMMAND');
});
