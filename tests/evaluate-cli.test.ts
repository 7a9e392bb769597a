import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { startChatServer } from './support/chat-server.ts';
import { honestVerdict, testPairs } from './support/judge-pairs.ts';
import { runMallows } from './support/mallows.ts';

const folder = mkdtempSync(join(tmpdir(), 'mallows-evaluate-cli-'));
const at = (name: string) => join(folder, name);
const KEY = 'sk-cli-test-key-of-nobody';

afterEach(() => vi.unstubAllEnvs());

it('winrate prints a table, JSON lines and a file', async () => {
  const csv = 'model,index,output_len,preference\nmine,0,10,1.25\nmine,1,14,1.75\nmine,2,12,2\n';
  writeFileSync(at('annotations.csv'), csv);
  writeFileSync(at('items.csv'), 'index,baseline_len,instruction_difficulty\n0,12,0.1\n1,12,0\n2,11,-0.2\n');
  const json = await runMallows(
    'winrate',
    at('annotations.csv'),
    '--items',
    at('items.csv'),
    '--json',
    '--output',
    at('w.json'),
  );
  expect(json.code, json.stderr).toBe(0);
  const { event, ...result } = JSON.parse(json.stdout);
  expect(event).toBe('winrate');
  expect(result).toMatchObject({ model: 'mine', n: 3, lcApproximate: true });
  expect(result.winRate).toBeCloseTo(200 / 3, 10);
  expect(result.standardError).toBeCloseTo((100 * Math.sqrt(7 / 48)) / Math.sqrt(3), 10);
  expect(JSON.parse(readFileSync(at('w.json'), 'utf8'))).toEqual(result);
  // Lines whatever the number of models; a JSON document is the object of one, or the array of several.
  const others = csv.split('\n').slice(1).join('\n').replaceAll('mine', 'other');
  writeFileSync(at('two.csv'), `${csv}${others}`);
  for (const name of ['w.jsonl', 'two.jsonl', 'two.json']) {
    const source = name.startsWith('two') ? at('two.csv') : at('annotations.csv');
    expect((await runMallows('winrate', source, '--output', at(name))).code).toBe(0);
  }
  const [one, two] = ['w.jsonl', 'two.jsonl'].map((name) =>
    readFileSync(at(name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  );
  expect(one).toHaveLength(1);
  expect(one![0]).toMatchObject({ model: 'mine', n: 3 });
  expect(two!.map(({ model }) => model)).toEqual(['mine', 'other']);
  expect(JSON.parse(readFileSync(at('two.json'), 'utf8'))).toEqual(two);
  const table = await runMallows('winrate', at('annotations.csv'));
  expect(table.stdout).toMatch(/mine .* 66\.67 ± 22\.05 +3 +12/);
  expect(table.stdout).toContain('--items');
  expect((await runMallows('winrate', at('nosuch.csv'))).code).toBe(3);
});

it('judge asks a server, writes verdicts, resumes for nothing, and keeps the key to itself', async () => {
  vi.stubEnv('OPENAI_API_KEY', KEY);
  const server = await startChatServer(({ body }) => ({
    kind: 'answer',
    content: honestVerdict(body.messages!.at(-1)!.content),
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
  const first = await runMallows(...argv);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stdout).toMatch(/win rate of a\.jsonl: 50\.0 % \(95 % interval/);
  expect(first.stdout).toMatch(/8 won, 8 lost, 4 tied of 20 pairs/);
  expect(first.stdout).toContain('No difference shown');
  // 40 answers of 100 + 10 tokens at $1 and $10 a million.
  expect(first.stdout).toContain('4000 + 400 tokens, $0.0080');
  const again = await runMallows(...argv, '--json');
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

/** A program that judges by `honestVerdict`'s rule and writes a line into `asked` for each pair that it is shown. */
function judgeProgram(asked: string): string {
  const path = at('judge.mjs');
  writeFileSync(
    path,
    `import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const { id, first, second } = JSON.parse(line);
  appendFileSync(process.argv[2], id + '\\n');
  const [x, y] = [first, second].map((text) => Number(/quality=(\\d)/.exec(text)[1]));
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(JSON.stringify({ id, verdict: x === y ? 'C' : x > y ? 'A' : 'B' }));
}`,
  );
  return `cmd:${process.execPath} ${path} ${asked}`;
}

it('judge keeps what a command replied, and after an interruption asks it for the rest', async () => {
  const pairs = testPairs(30);
  for (const side of ['a', 'b'] as const) {
    const rows = pairs.map(({ id, prompt, ...answers }) => ({ id, prompt, output: answers[side] }));
    writeFileSync(at(`cmd-${side}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const asked = at('asked.txt');
  const askedPairs = () => (existsSync(asked) ? readFileSync(asked, 'utf8').trimEnd().split('\n') : []);
  const argv = ['judge', '--a', at('cmd-a.jsonl'), '--b', at('cmd-b.jsonl'), '--judge', judgeProgram(asked)];
  argv.push('--output', at('cmd.jsonl'), '--concurrency', '2', '--json');

  const interrupted = runMallows(...argv);
  await vi.waitUntil(() => askedPairs().length > 5, { timeout: 20_000, interval: 2 });
  process.emit('SIGINT', 'SIGINT');
  const first = await interrupted;
  expect(first.code, first.stderr).toBe(130);
  expect(first.stderr).toContain('Stopping; what was judged is kept.');
  const before = askedPairs();
  expect(before.length).toBeLessThan(60);
  expect(existsSync(at('cmd.jsonl'))).toBe(false);

  const second = await runMallows(...argv);
  expect(second.code, second.stderr).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ n: 30, wins: 12, losses: 12, ties: 6, usage: null });
  expect(second.stderr).toContain(
    `${before.length} replies of the command are earlier ones, from ${at('cmd.cache.jsonl')}`,
  );
  expect(new Set(askedPairs()).size).toBe(60);
  expect(askedPairs()).toHaveLength(60);
});

it('judge refuses answers to different prompts', async () => {
  for (const [name, prompt] of [
    ['one', 'Why?'],
    ['two', 'How?'],
  ] as const) {
    writeFileSync(at(`${name}.jsonl`), `${JSON.stringify({ prompt, output: 'So.' })}\n`);
  }
  const result = await runMallows(
    ...[
      'judge',
      '--a',
      at('one.jsonl'),
      '--b',
      at('two.jsonl'),
      '--judge',
      'cmd:cat',
      '--output',
      at('x.jsonl'),
    ],
  );
  expect(result.code).toBe(3);
  expect(result.stderr).toContain(
    `The prompt with id "0" is "Why?" in ${at('one.jsonl')}:1 and "How?" in ${at('two.jsonl')}:1.`,
  );
});

it('judge says what is wrong with its arguments', async () => {
  const bad = await runMallows('judge', '--a', at('a.jsonl'), '--b', at('b.jsonl'), '--judge', 'gpt');
  expect(bad.code).toBe(2);
  expect(bad.stderr).toContain('openai:MODEL, cmd:COMMAND, or the directory of a reward model');
});

function fakeRun(name: string, recipe: object, shift: number): string {
  const path = at(name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'recipe.yaml'), JSON.stringify(recipe));
  const evaluations = [1, 2, 3].map((k) => ({
    step: 10 * k,
    'eval_kl/on_policy': k + shift,
    'eval_rewards/accuracies': 0.5 + 0.05 * k + shift / 20,
  }));
  writeFileSync(
    join(path, 'metrics.jsonl'),
    evaluations.map((record) => `${JSON.stringify(record)}\n`).join(''),
  );
  const rows = Array.from({ length: 120 }, (_, i) => {
    const margin = Math.sin(12.9898 * i) + shift;
    return {
      id: String(i),
      loss: 0.5,
      win: margin > 0 ? 1 : 0,
      chosenLogRatio: margin,
      rejectedLogRatio: 0,
    };
  });
  mkdirSync(join(path, 'model'));
  writeFileSync(join(path, 'model', 'model.safetensors'), '');
  mkdirSync(join(path, 'evaluations'));
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(path, 'evaluations', 'step-30.jsonl'), lines);
  return path;
}

it('judge lets a model on a server answer, with its own key or none, and each prompt once', async () => {
  vi.stubEnv('OPENAI_API_KEY', KEY);
  vi.stubEnv('SERVING_KEY', 'sk-serving');
  const keys = new Set<string | undefined>();
  const serving = await startChatServer(({ path, body, headers }) => {
    keys.add(headers.authorization);
    const asked = path.endsWith('/chat/completions') ? body.messages!.at(-1)!.content : String(body.prompt);
    expect(body).toMatchObject({ model: 'tuned', temperature: 0, max_tokens: 9 });
    return { kind: 'answer', content: `Answer to ${asked}` };
  });
  const judging = await startChatServer(({ body, headers }) => {
    expect(headers.authorization).toBe(`Bearer ${KEY}`);
    return { kind: 'answer', content: honestVerdict(body.messages!.at(-1)!.content) };
  });
  const lines = (name: string, rows: readonly object[]) => {
    writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return at(name);
  };
  // The third row repeats a prompt, as pairs of one prompt do.
  const rows = ['Why?', 'How?', 'Why?'].map((prompt, i) => ({ id: `q${i}`, prompt }));
  const prompts = lines('asked.jsonl', rows);
  const b = lines(
    'b-asked.jsonl',
    rows.map(({ id }) => ({ id, output: 'No.' })),
  );
  const argv = [
    ...['judge', '--a', 'tuned', '--b', b, '--prompts', prompts, '--chat', '--max-new-tokens', '9'],
    ...['--server', serving.url, '--judge', 'openai:m', '--judge-url', judging.url],
    ...['--output', at('served.jsonl'), '--json'],
  ];
  const result = await runMallows(...argv);
  expect(result.code, result.stderr).toBe(0);
  expect(result.stderr).toContain(`tuned answers ${prompts} on ${serving.url}`);
  expect(JSON.parse(result.stdout)).toMatchObject({ n: 2, unparsable: 0 });
  const read = (name: string) =>
    readFileSync(at(name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  expect(read('served.jsonl').map(({ id, a }) => [id, a])).toEqual([
    ['q0', 'Answer to Why?'],
    ['q1', 'Answer to How?'],
  ]);
  expect(read('served.a.jsonl')[0].completions[0].text).toBe('Answer to Why?');
  // The judge's key is for the judge.
  expect([...keys]).toEqual([undefined]);
  // What was answered is kept: nothing is asked again, though the key is another.
  expect((await runMallows(...argv, '--server-key-env', 'SERVING_KEY')).code).toBe(0);
  expect(serving.counts.requests).toBe(2);
  expect(
    (await runMallows(...argv, '--server-key-env', 'SERVING_KEY', '--output', at('keyed.jsonl'))).code,
  ).toBe(0);
  expect([...keys]).toEqual([undefined, 'Bearer sk-serving']);
  await serving.close();
  await judging.close();
});

it('compare weighs runs against the first and writes a page', async () => {
  const dpo = fakeRun('dpo', { objective: { name: 'dpo', beta: 0.1 }, seed: 1 }, 0);
  const theta = fakeRun('theta', { objective: { name: 'mallows-theta', beta: 0.1 }, seed: 1 }, 0.5);
  const page = at('compare.html');
  const judged = testPairs(9).map((pair, i) => ({
    ...pair,
    a: `<b>${pair.a}</b>`,
    winner: ['a', 'b', 'tie'][i % 3],
    verdicts: [],
  }));
  writeFileSync(join(theta, 'judged.jsonl'), judged.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(
    at('w.jsonl'),
    judged.map(({ id }) => `${JSON.stringify({ id, negLogDispersion: 0.5 + Number(id) / 9 })}\n`).join(''),
  );
  const text = await runMallows(
    'compare',
    dpo,
    theta,
    '--report',
    page,
    '--output',
    at('compare.json'),
    '--dispersion',
    at('w.jsonl'),
  );
  expect(text.code, text.stderr).toBe(0);
  expect(text.stdout).toMatch(
    /No difference shown between theta and dpo in win rate on 9 prompts: .*; theta is better in held-out accuracy \(\+\d/,
  );
  expect(text.stdout).toMatch(
    /log-ratio margin \(nats\)\n {2}dpo .*\n {2}theta .*difference 0\.50 \[0\.50, 0\.50\], p < 0\.001/,
  );
  const report = JSON.parse(readFileSync(at('compare.json'), 'utf8'));
  expect(report.comparisons.map(({ metric }: { metric: string }) => metric)).toEqual([
    'winRate',
    'accuracy',
    'margin',
    'chosenLogRatio',
  ]);
  const html = readFileSync(page, 'utf8');
  expect(html).toContain('No difference shown between theta and dpo in win rate on 9 prompts');
  expect(html).toContain('&lt;b&gt;quality=');
  expect(html).not.toContain('<script');
  expect(html.match(/<article class="pair" data-won="first"/g)).toHaveLength(3);
  expect(html.match(/data-dispersion="lowest">/g)).toHaveLength(3);
  expect(html).toMatch(/<legend>w\(x\)<\/legend>.*lowest third/);
  expect(html).toContain('Difference by thirds of w');
  expect(report.thirds).toContainEqual(
    expect.objectContaining({ metric: 'winRate', third: 'highest', prompts: 3 }),
  );
  expect(text.stdout).toMatch(
    / {4}difference by thirds of w\(x\): lowest -?\d+\.\d \[.*\], middle .*, highest /,
  );
  expect(existsSync(at('figures/compare-accuracy.png'))).toBe(true);
  const json = await runMallows('compare', dpo, theta, '--json');
  expect(JSON.parse(json.stdout)).toEqual({ event: 'comparison', ...report, thirds: [] });
  const crashed = fakeRun('crashed', { objective: { name: 'ipo' }, seed: 1 }, 0);
  rmSync(join(crashed, 'model'), { recursive: true });
  renameSync(join(crashed, 'evaluations', 'step-30.jsonl'), join(crashed, 'evaluations', 'step-20.jsonl'));
  const logged = readFileSync(join(crashed, 'metrics.jsonl'), 'utf8').split('\n');
  writeFileSync(
    join(crashed, 'metrics.jsonl'),
    logged.filter((line) => !line.startsWith('{"step":30,')).join('\n'),
  );
  const notes = [
    `${crashed} did not finish: it holds no trained model, and its last evaluation is of step 20.`,
    `The last evaluations are of different steps: 20 (${crashed}); 30 (${dpo}).`,
  ];
  const unequal = await runMallows('compare', dpo, crashed, '--report', at('unequal.html'));
  const unequalPage = readFileSync(at('unequal.html'), 'utf8');
  for (const note of notes) {
    expect(unequal.stdout).toContain(note);
    expect(unequalPage).toContain(note);
  }
  const one = await runMallows(
    'compare',
    dpo,
    fakeRun('dpo-2', { objective: { name: 'dpo', beta: 0.1 }, seed: 2 }, 0),
  );
  expect([one.code, one.stderr.includes('differ by the seed alone')]).toEqual([2, true]);
});

it('frontier draws accuracy against KL', async () => {
  const phi = fakeRun('phi', { objective: { name: 'mallows-phi', beta: 0.1 }, seed: 1 }, 0.25);
  const result = await runMallows('frontier', at('dpo'), phi, '--output', at('frontier.svg'), '--json');
  expect(result.code, result.stderr).toBe(0);
  const lines = result.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ method }) => method)).toEqual(['dpo, β = 0.1', 'mallows-phi, β = 0.1']);
  expect(lines[1].points[0]).toEqual({ at: 10, kl: 1.25, value: 0.5625, runs: 1 });
  expect(readFileSync(at('frontier.svg'), 'utf8')).toContain('mallows-phi');
  expect(existsSync(at('frontier.png'))).toBe(true);
});

it('generate --server answers prompts and keeps what it was answered', async () => {
  const server = await startChatServer(({ body, path }) => {
    const said = path.endsWith('/chat/completions') ? body.messages!.at(-1)!.content : String(body.prompt);
    const choice = path.endsWith('/chat/completions')
      ? { message: { content: `to ${said}` } }
      : { text: ` after ${said}` };
    return { kind: 'answer', content: '', body: { choices: [{ ...choice, finish_reason: 'stop' }] } };
  });
  writeFileSync(at('prompts.jsonl'), '{"id":"x","prompt":"One"}\n{"id":"y","prompt":"Two"}\n');
  const argv = [
    'generate',
    '--server',
    server.url,
    '--model',
    'm',
    '--prompts',
    at('prompts.jsonl'),
    '--greedy',
  ];
  const text = await runMallows(...argv, '--output', at('text.jsonl'));
  expect(text.code, text.stderr).toBe(0);
  const lines = (name: string) =>
    readFileSync(at(name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  expect(lines('text.jsonl')).toEqual([
    { id: 'x', prompt: 'One', completions: [{ text: ' after One', finish: 'stop' }] },
    { id: 'y', prompt: 'Two', completions: [{ text: ' after Two', finish: 'stop' }] },
  ]);
  const chat = await runMallows(...argv, '--chat');
  expect(chat.stdout).toContain('to One');
  const before = server.counts.requests;
  expect((await runMallows(...argv, '--output', at('text.jsonl'))).code).toBe(0);
  expect(server.counts.requests).toBe(before);
  await server.close();
});

it('generate --server answers all but a refused prompt, and asks for nothing twice', async () => {
  let room = 20;
  const server = await startChatServer(({ body }) =>
    String(body.prompt).length > room
      ? { kind: 'status', status: 400, text: 'context length exceeded' }
      : { kind: 'answer', content: '', body: { choices: [{ text: ' yes' }] } },
  );
  const rows = Array.from({ length: 60 }, (_, i) => ({ id: `${i}`, prompt: `Prompt ${i}` }));
  rows[7]!.prompt += ' and far too many words';
  writeFileSync(at('long.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const argv = [
    ...['generate', '--server', server.url, '--model', 'm', '--prompts', at('long.jsonl'), '--greedy'],
    ...['--batch', '4', '--output', at('long-answers.jsonl')],
  ];
  const refused = await runMallows(...argv);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/no answer to 1 of 60 prompts \("7"\): .*context length exceeded/);
  expect(server.counts).toMatchObject({ requests: 60, answers: 59 });
  room = 100;
  const again = await runMallows(...argv);
  expect(again.code, again.stderr).toBe(0);
  expect(server.counts).toMatchObject({ requests: 61, answers: 60 });
  expect(readFileSync(at('long-answers.jsonl'), 'utf8').trimEnd().split('\n')).toHaveLength(60);
  await server.close();
});
