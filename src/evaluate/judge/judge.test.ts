import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Reply, type SeenRequest, startChatServer } from '../../../tests/support/chat-server.ts';
import { ResponseCache } from '../server/cache.ts';
import { ChatServer } from '../server/client.ts';
import {
  ChatJudge,
  CommandJudge,
  type CommandJudgeOptions,
  type Judge,
  type JudgedPair,
  judgePairs,
  loadTemplate,
  type NoVerdict,
  parseLogprobs,
  parseTemplate,
  parseVerdict,
  renderTemplate,
  requireVerdicts,
  summarizeVerdicts,
} from './index.ts';
import { combinedWinner } from './pairwise.ts';

const openCache = () =>
  ResponseCache.open(join(mkdtempSync(join(tmpdir(), 'mallows-judge-test-')), 'cache.jsonl'));

const PAIR = { id: '1', prompt: 'Why?', a: 'Because A.', b: 'Because B.' };

describe('parseVerdict', () => {
  it('reads one verdict and nothing else', () => {
    expect(parseVerdict('A is better.\n[[A]]').outcome).toBe('first');
    expect(parseVerdict('[[B]]').outcome).toBe('second');
    expect(parseVerdict('[[C]] … so: [[C]]').outcome).toBe('tie');
  });

  it('guesses nothing', () => {
    for (const text of [
      '',
      'A',
      '[A]',
      '[[D]]',
      '[[a]]',
      '[[ A ]]',
      '[[A]] or [[B]]',
      'Answer A is better',
    ]) {
      expect(parseVerdict(text).outcome, text).toBeUndefined();
    }
  });
});

describe('parseLogprobs', () => {
  const labels = { first: 'm', second: 'M' };
  const tokens = (entries: Record<string, number>) =>
    Object.entries(entries).map(([token, p]) => ({ token, logprob: Math.log(p) }));

  it('normalises over the two labels', () => {
    const verdict = parseLogprobs(tokens({ m: 0.3, M: 0.1, The: 0.6 }), labels);
    expect(verdict.preference).toBeCloseTo(0.75, 12);
    expect(verdict.outcome).toBe('first');
    expect(parseLogprobs(tokens({ ' m': 0.2, m: 0.2, M: 0.4 }), labels).preference).toBeCloseTo(0.5, 12);
  });

  it('takes a label that is not listed as 0, and has no outcome when neither is', () => {
    expect(parseLogprobs(tokens({ M: 0.9, x: 0.1 }), labels)).toMatchObject({
      preference: 0,
      outcome: 'second',
    });
    expect(parseLogprobs(tokens({ x: 0.9, y: 0.1 }), labels).outcome).toBeUndefined();
    expect(parseLogprobs([], labels).outcome).toBeUndefined();
  });
});

describe('templates', () => {
  it('come with the project and hold the verdicts they promise', () => {
    const pairwise = loadTemplate('pairwise');
    const text = JSON.stringify(renderTemplate(pairwise, { ...PAIR, first: 'one', second: 'two' }));
    for (const part of ['[[A]]', '[[B]]', '[[C]]', 'Why?', 'one', 'two']) expect(text).toContain(part);
    expect(loadTemplate('logprobs')).toMatchObject({ style: 'logprobs', parameters: { max_tokens: 1 } });
  });

  it('do not expand what an answer contains', () => {
    const template = parseTemplate('style: verdict\nuser: "{{prompt}}|{{first}}|{{second}}"\n', 't');
    const [message] = renderTemplate(template, {
      id: '1',
      prompt: '{{second}}',
      first: '{{prompt}} $&',
      second: 'x',
    });
    expect(message!.content).toBe('{{second}}|{{prompt}} $&|x');
  });

  it('name what is wrong with them', () => {
    expect(() => parseTemplate('style: verdict\nuser: "{{prompt}} {{first}}"', 't')).toThrow(
      /lacks \{\{second\}\}/,
    );
    expect(() => parseTemplate('style: verdict\nuzer: x', 't')).toThrow(/uzer/);
    expect(() => loadTemplate('nosuch')).toThrow(/no judge template "nosuch"/);
  });

  it('show a conversation turn by turn', () => {
    const template = parseTemplate('style: verdict\nuser: "{{prompt}}|{{first}}|{{second}}"\n', 't');
    const prompt = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ] as const;
    const [message] = renderTemplate(template, { id: '1', prompt, first: 'x', second: 'y' });
    expect(message!.content).toBe('user: Hi\n\nassistant: Hello|x|y');
  });
});

/** Judges by a rule on what it is shown. */
function ruled(rule: (first: string, second: string) => 'first' | 'second' | 'tie' | undefined): Judge {
  return {
    name: 'rule',
    orderFree: false,
    async compare({ first, second }) {
      const outcome = rule(first, second);
      return { ...(outcome && { outcome }), text: '' };
    },
    async close() {},
  };
}

describe('judgePairs', () => {
  it('follows the rule of the paper over both orders', () => {
    // Both; one and a tie; one each; two ties; any of them unparsable.
    expect(combinedWinner(['a', 'a'])).toBe('a');
    expect(combinedWinner(['a', 'tie'])).toBe('a');
    expect(combinedWinner(['tie', 'b'])).toBe('b');
    expect(combinedWinner(['a', 'b'])).toBe('tie');
    expect(combinedWinner(['tie', 'tie'])).toBe('tie');
    expect(combinedWinner(['a', undefined])).toBeUndefined();
  });

  it('makes a tie of a judge that always prefers what comes first', async () => {
    const judged = await judgePairs(
      [PAIR, { ...PAIR, id: '2' }],
      ruled(() => 'first'),
    );
    expect(summarizeVerdicts(judged, 'rule')).toMatchObject({
      n: 2,
      ties: 2,
      winRate: 50,
      consistency: 0,
      firstPreferred: 1,
    });
  });

  it('shows each answer once in each place', async () => {
    const shown: string[] = [];
    const judge = ruled((first, second) => {
      shown.push(`${first}/${second}`);
      return first.includes('A') ? 'first' : 'second';
    });
    const [judged] = await judgePairs([PAIR], judge);
    expect(shown).toEqual(['Because A./Because B.', 'Because B./Because A.']);
    expect(judged!.winner).toBe('a');
  });

  it('fails when all it began is over', async () => {
    const broken = new Error('broken');
    let over = 0;
    const judge: Judge = {
      ...ruled(() => 'tie'),
      compare: async ({ id }) => {
        if (id === '0:a') throw broken;
        await new Promise((resolve) => setTimeout(resolve, 10));
        over++;
        return { outcome: 'tie', text: '' };
      },
    };
    await expect(judgePairs([{ ...PAIR, id: '0' }, PAIR], judge)).rejects.toBe(broken);
    expect(over).toBe(3);
  });

  it('asks once where order is nothing', async () => {
    let calls = 0;
    const judge = {
      ...ruled(() => {
        calls++;
        return 'second';
      }),
      orderFree: true,
    };
    const [judged] = await judgePairs([PAIR], judge);
    expect([calls, judged!.winner, judged!.verdicts.length]).toEqual([1, 'b', 1]);
  });
});

describe('summarizeVerdicts', () => {
  const judged = (winner: JudgedPair['winner'], prompt: JudgedPair['prompt'] = PAIR.prompt): JudgedPair => ({
    ...PAIR,
    prompt,
    ...(winner && { winner }),
    verdicts: [],
  });

  it('takes pairs of one prompt as one piece of evidence', () => {
    // One prompt for A and two for B: the interval is the whole range, and a sign test cannot tell.
    const pairs = [...'aaaabbb'].map((c, i) => judged(c as 'a' | 'b', 'xxxxyyz'[i]));
    const summary = summarizeVerdicts(pairs, 'hand');
    expect(summary).toMatchObject({ n: 7, wins: 4, interval: [0, 100] });
    expect(summary.pValue).toBeCloseTo(1, 12);
    expect(summarizeVerdicts(pairs.slice(0, 4), 'hand')).toMatchObject({
      n: 4,
      interval: null,
      winRate: 100,
    });
  });

  it('takes one prompt in two writings as one', () => {
    const turn = [{ role: 'user', content: 'Hi' }] as const;
    expect(summarizeVerdicts([judged('a', 'Hi'), judged('a', turn)], 'hand')).toMatchObject({
      n: 2,
      interval: null,
    });
  });

  it('counts as worked by hand', () => {
    // 6 wins, 2 losses, 2 ties, 1 unparsable: (6 + 1)/10; sign test 2·P(X ≤ 2 | 8) = 2·37/256.
    const pairs = [...'aaaaaabbtt?'].map((c, i) =>
      judged(c === 'a' ? 'a' : c === 'b' ? 'b' : c === 't' ? 'tie' : undefined, `Prompt ${i}`),
    );
    const summary = summarizeVerdicts(pairs, 'hand');
    expect(summary).toMatchObject({ n: 10, wins: 6, losses: 2, ties: 2, unparsable: 1, winRate: 70 });
    expect(summary.pValue).toBeCloseTo(74 / 256, 12);
    expect(summary.interval![0]).toBeLessThan(70);
    expect(summary.interval![1]).toBeGreaterThan(70);
  });

  it('counts each pair that is left out once, under its gravest reason', () => {
    const leftOut = (...reasons: (NoVerdict | undefined)[]): JudgedPair => ({
      ...PAIR,
      verdicts: reasons.map((reason) => ({ shownFirst: 'a', ...(reason && { reason }), text: `${reason}!` })),
    });
    const pairs = [
      leftOut('unparsable', undefined),
      leftOut('cut-off', 'unparsable'),
      leftOut('cut-off', 'refused'),
      leftOut('refused', 'refused'),
      judged('a'),
    ];
    expect(summarizeVerdicts(pairs, 'hand')).toMatchObject({
      ...{ n: 1, refused: 2, cutOff: 1, unparsable: 1, firstRefusal: 'refused!' },
    });
    expect(() => requireVerdicts(pairs.slice(3, 4))).toThrow(
      expect.objectContaining({ hint: 'The judge refuses to answer: "refused!".' }),
    );
  });

  it('has no rate without a judged pair', () => {
    expect(summarizeVerdicts([judged(undefined)], 'none')).toMatchObject({
      n: 0,
      winRate: null,
      pValue: null,
      unparsable: 1,
    });
    expect(() => requireVerdicts([judged(undefined), judged('tie')])).not.toThrow();
    expect(() => requireVerdicts([judged(undefined)])).toThrow('None of the 1 pairs has a verdict.');
  });
});

describe('ChatJudge', () => {
  let server: Awaited<ReturnType<typeof startChatServer>>;
  afterEach(() => server.close());

  const judgeWith = async (template: string, reply: (request: SeenRequest) => Reply) => {
    server = await startChatServer(reply);
    return new ChatJudge(new ChatServer({ url: server.url }), 'judge-model', loadTemplate(template));
  };

  it('averages log-probabilities over both orders', async () => {
    const requests: SeenRequest['body'][] = [];
    const judge = await judgeWith('logprobs', ({ body }) => {
      requests.push(body);
      const aFirst =
        body.messages!.at(-1)!.content.indexOf('Because A') <
        body.messages!.at(-1)!.content.indexOf('Because B');
      const p = aFirst ? 0.8 : 0.4;
      const top_logprobs = [
        { token: 'm', logprob: Math.log(p) },
        { token: 'M', logprob: Math.log(1 - p) },
      ];
      const logprobs = { content: [{ token: 'm', top_logprobs }] };
      return { kind: 'answer', content: '', body: { choices: [{ message: { content: 'm' }, logprobs }] } };
    });
    const [judged] = await judgePairs([PAIR], judge);
    expect(judged!.preference).toBeCloseTo((0.8 + 0.6) / 2, 12);
    expect(judged!.winner).toBe('a');
    expect(requests[0]).toMatchObject({
      model: 'judge-model',
      logprobs: true,
      top_logprobs: 5,
      max_tokens: 1,
    });
  });

  it('sends nothing once its signal fires, and keeps what was sent', async () => {
    const stop = new AbortController();
    const cache = openCache();
    server = await startChatServer(() => {
      stop.abort('SIGINT');
      return { kind: 'answer', content: '[[C]]', delayMs: 10 };
    });
    const client = new ChatServer({ url: server.url, concurrency: 1, cache });
    const judge = new ChatJudge(client, 'judge-model', loadTemplate('pairwise'));
    const judging = judgePairs([PAIR, { ...PAIR, id: '2', a: 'Because C.' }], judge, { signal: stop.signal });
    await expect(judging).rejects.toBe('SIGINT');
    expect([server.counts.requests, cache.size]).toEqual([1, 1]);
    cache.close();
  });

  it('tells verdicts that were withheld or cut off from those that cannot be read', async () => {
    const replies = [
      [null, 'content_filter', 'refused'],
      ['[[A]], that is', 'content_filter', 'refused'],
      [null, 'length', 'cut-off'],
      ['Let me think about', 'length', 'cut-off'],
      ['Neither.', 'stop', 'unparsable'],
    ] as const;
    const judge = await judgeWith('pairwise', ({ body }) => {
      const [content, finish_reason] =
        replies[Number(/Question (\d)/.exec(body.messages!.at(-1)!.content)![1])]!;
      return { kind: 'answer', content: '', body: { choices: [{ message: { content }, finish_reason }] } };
    });
    const pairs = replies.map((_, i) => ({ ...PAIR, id: `${i}`, prompt: `Question ${i}` }));
    const reasons = (await judgePairs(pairs, judge)).map(({ winner, verdicts }) => [
      winner,
      ...verdicts.map(({ reason }) => reason),
    ]);
    expect(reasons).toEqual(replies.map(([, , reason]) => [undefined, reason, reason]));
  });

  it('reads a verdict that comes before the length limit', async () => {
    const judge = await judgeWith('pairwise', () => ({
      kind: 'answer',
      content: '',
      body: { choices: [{ message: { content: '[[C]] because' }, finish_reason: 'length' }] },
    }));
    expect((await judgePairs([PAIR], judge))[0]!.winner).toBe('tie');
  });

  it('counts a refused request and a server without log-probabilities as no verdict', async () => {
    const refused = await judgeWith('pairwise', () => ({ kind: 'status', status: 400, text: 'too long' }));
    const [first] = await judgePairs([PAIR], refused);
    expect(first!.winner).toBeUndefined();
    expect(first!.verdicts[0]).toMatchObject({
      reason: 'refused',
      text: expect.stringMatching(/answered 400: too long/),
    });
    await server.close();
    const silent = await judgeWith('logprobs', () => ({ kind: 'answer', content: 'm' }));
    const [second] = await judgePairs([PAIR], silent);
    expect(second!.verdicts[0]!.text).toMatch(/no log-probabilities/);
  });
});

describe('CommandJudge', () => {
  const program = (body: string, options?: CommandJudgeOptions) =>
    new CommandJudge(
      `${process.execPath} -e ${JSON.stringify(
        `require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => { const pair = JSON.parse(line); ${body} })`,
      )}`,
      options,
    );
  const say = (value: string) => `console.log(JSON.stringify(${value}));`;

  it('reads verdicts and preferences over JSON lines', async () => {
    const judge = program(say(`{ id: pair.id, preference: pair.first.includes('A') ? 0.9 : 0.3 }`));
    const [judged] = await judgePairs([PAIR], judge);
    await judge.close();
    expect(judged!.preference).toBeCloseTo(0.8, 12);
    const verdicts = program(
      say(`{ id: pair.id, verdict: pair.first.includes('A') ? 'A' : 'B', text: 'so' }`),
    );
    expect(await judgePairs([PAIR], verdicts)).toMatchObject([
      { winner: 'a', verdicts: [{ text: 'so' }, {}] },
    ]);
    await verdicts.close();
  });

  it('counts an answer outside its grammar, and fails on lines that belong to nothing', async () => {
    const odd = program(say(`{ id: pair.id, verdict: 'maybe' }`));
    expect((await judgePairs([PAIR], odd))[0]!.winner).toBeUndefined();
    await odd.close();
    const stray = program(say(`{ id: 'other', verdict: 'A' }`));
    await expect(judgePairs([PAIR], stray)).rejects.toThrow(/answered the id "other", which was not asked/);
    await stray.close();
  });

  it('begins nothing once its signal fires, and keeps what it began', async () => {
    const stop = new AbortController();
    const kept: string[] = [];
    const cache = {
      get: () => undefined,
      put: (_: unknown, line: string) => {
        kept.push(JSON.parse(line).id);
        stop.abort('SIGINT');
      },
    } as unknown as ResponseCache;
    const answer = say(`{ id: pair.id, verdict: 'C' }`);
    // Answers two at once: the second is under way when the first has come.
    const judge = program(
      `(globalThis.held ??= []).push(pair); if (held.length === 2) for (const pair of held.splice(0)) { ${answer} }`,
      { concurrency: 2, cache },
    );
    const pairs = Array.from({ length: 20 }, (_, i) => ({ ...PAIR, id: `${i}` }));
    await expect(judgePairs(pairs, judge, { signal: stop.signal })).rejects.toBe('SIGINT');
    await judge.close();
    expect(kept).toEqual(['0:a', '0:b']);
  });

  it('ends a command that goes on when its input has ended', async () => {
    const judge = program(`setInterval(() => {}, 1000); ${say(`{ id: pair.id, verdict: 'C' }`)}`, {
      patience: 50,
    });
    expect((await judgePairs([PAIR], judge))[0]!.winner).toBe('tie');
    // It waits until all that the command started has let go of its output.
    await judge.close();
  });

  it('keeps replies by command and content, and is not asked for them again', async () => {
    const pairs = [PAIR, { ...PAIR, id: '2', a: 'Because C.' }];
    const cache = openCache();
    const body = say(
      `{ id: pair.id, verdict: pair.first.includes('A') ? 'A' : 'B', text: 'asked as ' + pair.id }`,
    );
    const judge = program(body, { cache });
    const first = await judgePairs(pairs, judge);
    await judge.close();
    expect([cache.size, cache.hits]).toEqual([4, 0]);
    const again = program(body, { cache });
    const renamed = pairs.map((pair) => ({ ...pair, id: `new ${pair.id}` }));
    const second = await judgePairs([...renamed, { ...PAIR, b: 'Because D.' }], again);
    await again.close();
    expect(second.slice(0, 2)).toEqual(first.map((pair, i) => ({ ...pair, id: `new ${pairs[i]!.id}` })));
    expect(second[2]!.verdicts.map(({ text }) => text)).toEqual(['asked as 1:a', 'asked as 1:b']);
    expect([cache.size, cache.hits]).toEqual([6, 4]);
    const other = program(`/* another */ ${body}`, { cache });
    await judgePairs([PAIR], other);
    await other.close();
    expect(cache.size).toBe(8);
    cache.close();
  });

  it('asks for nothing more once a reply cannot be kept', async () => {
    const full = new Error('no space left');
    let replies = 0;
    const cache = {
      get: () => undefined,
      put: () => {
        replies++;
        throw full;
      },
    } as unknown as ResponseCache;
    const judge = program(say(`{ id: pair.id, verdict: 'C' }`), { concurrency: 1, cache });
    await expect(judgePairs([PAIR, { ...PAIR, id: '2' }], judge)).rejects.toBe(full);
    await judge.close();
    expect(replies).toBe(1);
  });

  it('reports a command that ends early, with what it wrote', async () => {
    const judge = program(`console.error('out of tea'); process.exit(3);`);
    await expect(judgePairs([PAIR], judge)).rejects.toMatchObject({
      code: 'judge-command-failed',
      message: expect.stringMatching(/exit code 3/),
      hint: expect.stringMatching(/out of tea/),
    });
    await judge.close();
  });
});
