import { describe, expect, it } from 'vitest';
import { jsonLines, withFiles } from '../../tests/support/data.ts';
import type { PairDataset } from './contract.ts';
import { generic } from './formats/generic.ts';
import { canonicalJson } from './hash.ts';
import { type LoadPairsOptions, loadPairs, scoreGap } from './pairs.ts';
import { summarizeReasons } from './read.ts';

const load = (content: string, options?: LoadPairsOptions, name = 'pairs.jsonl'): Promise<PairDataset> =>
  withFiles({ [name]: content }, async (path) => {
    const data = await loadPairs(path(name), options);
    return data;
  });
const loadRows = (rows: readonly unknown[], options?: LoadPairsOptions) => load(jsonLines(...rows), options);
const failure = (rows: readonly unknown[], options?: LoadPairsOptions) =>
  loadRows(rows, options).then(
    () => expect.unreachable('the data should not load'),
    (error) => error,
  );
const context = { dialogue: 'chat', report: () => {} } as const;
const says = (role: string, content: string) => ({ role, content });

describe('formats', () => {
  const hhRow = {
    chosen: '\n\nHuman: Hi.  \n\nAssistant: Hello!\n\nHuman: Tea?\n\nAssistant: Yes,  please. ',
    rejected: '\n\nHuman: Hi.  \n\nAssistant: Hello!\n\nHuman: Tea?\n\nAssistant: No.',
  };

  it('reads HH transcripts as chat', async () => {
    const { format, examples: pairs } = await loadRows([hhRow]);
    expect(format).toBe('hh');
    expect(pairs).toEqual([
      {
        id: '0',
        prompt: [says('user', 'Hi.'), says('assistant', 'Hello!'), says('user', 'Tea?')],
        chosen: [says('assistant', 'Yes,  please.')],
        rejected: [says('assistant', 'No.')],
      },
    ]);
  });

  it('reads HH transcripts as text without changing a space', async () => {
    const expected = {
      id: '0',
      prompt: '\n\nHuman: Hi.  \n\nAssistant: Hello!\n\nHuman: Tea?\n\nAssistant:',
      chosen: ' Yes,  please. ',
      rejected: ' No.',
    };
    expect((await loadRows([hhRow], { style: 'text' })).examples).toEqual([expected]);
    expect((await loadRows([hhRow], { chatTemplate: false })).examples).toEqual([expected]);
    expect(expected.prompt + expected.chosen).toBe(hhRow.chosen);
  });

  it('reports HH transcripts that part early, end with the person, are equal, or are none', async () => {
    const { examples: pairs, badRows } = await loadRows([
      hhRow,
      { ...hhRow, rejected: hhRow.rejected.replace('Hello!', 'Go away.') },
      { ...hhRow, rejected: hhRow.rejected.replace('Hi.', 'Ho.') },
      { ...hhRow, rejected: `${hhRow.rejected}\n\nHuman: Why?\n\nAssistant: So.` },
      { ...hhRow, rejected: hhRow.chosen },
      { ...hhRow, rejected: '\n\nHuman: Hi.\n\nAssistant: Hello!\n\nHuman: Tea?\n\nAssistant:' },
      { chosen: 'Hello', rejected: 'Hi' },
    ]);
    expect(pairs).toHaveLength(1);
    expect(badRows.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'transcripts-diverge'],
      [3, 'transcripts-diverge'],
      [4, 'transcripts-diverge'],
      [5, 'identical-completions'],
      [6, 'empty-completion'],
      [7, 'wrong-type'],
    ]);
  });

  it('reads UltraFeedback with whole conversations as completions, and its ratings', async () => {
    const user = says('user', 'Name a colour.');
    const { format, examples: pairs } = await loadRows([
      {
        prompt: 'Name a colour.',
        prompt_id: 'x',
        chosen: [user, says('assistant', 'Red.')],
        rejected: [user, says('assistant', 'Seven.')],
        messages: [user, says('assistant', 'Red.')],
        score_chosen: 8.5,
        score_rejected: 2,
      },
    ]);
    expect(format).toBe('ultrafeedback');
    expect(pairs[0]).toEqual({
      id: '0',
      prompt: [user],
      chosen: [says('assistant', 'Red.')],
      rejected: [says('assistant', 'Seven.')],
      meta: { score_chosen: 8.5, score_rejected: 2 },
    });
    expect(scoreGap(pairs[0]!)).toBe(6.5);
  });

  it('keeps text as text, and wraps it as chat when asked', async () => {
    const rows = [
      {
        prompt: 'Name a colour.',
        chosen: 'Red.',
        rejected: 'Seven.',
        metadata: { score_chosen: 9, score_rejected: 1 },
      },
    ];
    const plain = await loadRows(rows);
    expect(plain.format).toBe('ultrafeedback');
    expect(plain.examples[0]).toMatchObject({
      prompt: 'Name a colour.',
      chosen: 'Red.',
      meta: { score_chosen: 9 },
    });
    const chat = await loadRows(rows, { style: 'chat' });
    expect(chat.examples[0]).toMatchObject({
      prompt: [says('user', 'Name a colour.')],
      chosen: [says('assistant', 'Red.')],
    });
    expect(chat.hash).not.toBe(plain.hash);
  });

  it('reads SHP: label 1 prefers A', async () => {
    const row = {
      post_id: 'p',
      history: 'Help?',
      human_ref_A: 'Aye',
      human_ref_B: 'Bee',
      score_A: 12,
      score_B: 3,
    };
    const { format, examples: pairs } = await loadRows([
      { ...row, labels: 1 },
      { ...row, labels: 0 },
    ]);
    expect(format).toBe('shp');
    expect(pairs.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([
      [[says('assistant', 'Aye')], [says('assistant', 'Bee')]],
      [[says('assistant', 'Bee')], [says('assistant', 'Aye')]],
    ]);
    expect(pairs[0]!.meta).toEqual({ post_id: 'p', score_chosen: 12, score_rejected: 3 });
    const text = await loadRows([{ ...row, labels: 1, tools: 'hammer' }], { style: 'text' });
    expect(text.examples[0]).toMatchObject({
      prompt: '\n\nHuman: Help?\n\nAssistant:',
      chosen: ' Aye',
      rejected: ' Bee',
    });
  });

  it('makes every pair of differently scored Stack Exchange answers, as plain text, and reports ties', async () => {
    const {
      format,
      examples: pairs,
      badRows,
    } = await loadRows([
      {
        qid: 7,
        question: '<p>How do I <b>sort</b>?</p><pre><code>a &lt; b\n  c</code></pre>',
        answers: [
          { text: '<p>Use&nbsp;sort.</p><ul><li>One</li><li>Two</li></ul>', pm_score: 1, selected: false },
          { text: 'No idea', pm_score: 0, selected: false },
          { text: 'Call sort()', pm_score: 4, selected: true },
          { text: 'Read this', pm_score: 1, selected: false },
        ],
      },
    ]);
    expect(format).toBe('stack-exchange');
    expect(pairs.map(({ id }) => id)).toEqual(['0:0-1', '0:0-2', '0:1-2', '0:1-3', '0:2-3']);
    expect(pairs[1]).toMatchObject({
      prompt: [says('user', 'How do I sort?\n\na < b\n  c')],
      chosen: [says('assistant', 'Call sort()')],
      rejected: [says('assistant', 'Use sort.\n\n- One\n- Two')],
      meta: { qid: 7, score_chosen: 4, score_rejected: 1 },
    });
    expect(summarizeReasons(badRows)).toBe('a tie: 1');
  });

  it('reads f-DPO’s IMDB pairs from CSV: the space goes with the completion', async () => {
    const csv =
      'Prompt,positive_response,negative_response\n"This film, ","This film, was fun.","This film, was dull."\nA,B,C\n';
    const { format, examples: pairs, badRows } = await load(csv, {}, 'pairs.csv');
    expect(format).toBe('imdb');
    expect(pairs).toEqual([{ id: '0', prompt: 'This film,', chosen: ' was fun.', rejected: ' was dull.' }]);
    expect(badRows).toMatchObject([{ line: 3, reason: 'transcripts-diverge' }]);
  });

  it('reads ShareGPT’s multi-turn pairs', async () => {
    const { format, examples: pairs } = await loadRows([
      {
        id: 4,
        conversations: [
          { from: 'system', value: 'Be brief.' },
          { from: 'human', value: 'Hi' },
        ],
        chosen: { from: 'gpt', value: 'Hello' },
        rejected: 'Hm',
      },
    ]);
    expect(format).toBe('sharegpt');
    expect(pairs[0]).toEqual({
      id: '4',
      prompt: [says('system', 'Be brief.'), says('user', 'Hi')],
      chosen: [says('assistant', 'Hello')],
      rejected: [says('assistant', 'Hm')],
    });
    const text = await loadRows(
      [
        {
          conversations: [
            { from: 'system', value: 'S' },
            { from: 'human', value: 'U' },
          ],
          chosen: 'a',
          rejected: 'b',
        },
      ],
      { chatTemplate: false },
    );
    expect(text.examples[0]).toMatchObject({
      prompt: '\n\nSystem: S\n\nHuman: U\n\nAssistant:',
      chosen: ' a',
    });
  });

  it('takes the majority of annotators, keeps their votes, and reports ties', async () => {
    const row = { instruction: 'Shorten', input: 'a long text', response1: 'one', response2: 'two' };
    const {
      format,
      examples: pairs,
      badRows,
    } = await loadRows([
      { ...row, annotators: [2, 2, 1] },
      { ...row, annotators: [0, 0, 1] },
      { ...row, annotators: [0, 0, 0] },
      { ...row, annotators: [0, 1, 2] },
      { ...row, annotator1: 1, annotator2: 1, annotator3: 1, input: '' },
      { ...row, annotators: [3] },
    ]);
    expect(format).toBe('votes');
    expect(pairs.map(({ id, chosen, votes }) => [id, chosen, votes])).toEqual([
      ['0', [says('assistant', 'two')], { chosen: 2, rejected: 1, tie: 0 }],
      ['1', [says('assistant', 'one')], { chosen: 1, rejected: 0, tie: 2 }],
      ['4', [says('assistant', 'one')], { chosen: 3, rejected: 0, tie: 0 }],
    ]);
    expect(pairs[0]!.prompt).toEqual([says('user', 'Shorten\n\na long text')]);
    expect(pairs[2]!.prompt).toEqual([says('user', 'Shorten')]);
    expect(summarizeReasons(badRows)).toBe('a tie: 2, wrong kind of value: 1');
  });

  it('reads an A/B log', async () => {
    const row = { prompt: 'Q', response_a: 'A', response_b: 'B' };
    const {
      format,
      examples: pairs,
      badRows,
    } = await loadRows([
      { ...row, winner: 'a' },
      { ...row, winner: 'model_b' },
      { ...row, winner: 'tie (bothbad)' },
      { ...row, winner: 'neither' },
    ]);
    expect(format).toBe('ab');
    expect(pairs.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([
      ['A', 'B'],
      ['B', 'A'],
    ]);
    expect(summarizeReasons(badRows)).toBe('a tie: 1, wrong kind of value: 1');
  });

  it('reads the generic layout with votes, dispersion, id and other facts', async () => {
    const { format, examples: pairs } = await loadRows([
      {
        id: 'a',
        prompt: 'P',
        chosen: 'C',
        rejected: 'R',
        votes: { chosen: 3, rejected: 1 },
        dispersion: 0.4,
        lang: 'en',
        blob: {},
      },
      { prompt: [says('user', 'P')], chosen: 'C', rejected: 'R', votes: null },
      { question: 'P', response_j: 'C', response_k: 'R' },
      {
        chosen: [says('user', 'P'), says('assistant', 'C')],
        rejected: [says('user', 'P'), says('assistant', 'R')],
      },
      {
        prompt: 'P',
        chosen: [{ role: 'assistant', content: [{ type: 'text', text: 'C' }] }],
        rejected: [says('assistant', 'R')],
      },
    ]);
    expect(format).toBe('generic');
    expect(pairs).toEqual([
      {
        id: 'a',
        prompt: 'P',
        chosen: 'C',
        rejected: 'R',
        votes: { chosen: 3, rejected: 1 },
        dispersion: 0.4,
        meta: { lang: 'en' },
      },
      {
        id: '1',
        prompt: [says('user', 'P')],
        chosen: [says('assistant', 'C')],
        rejected: [says('assistant', 'R')],
      },
      { id: '2', prompt: 'P', chosen: 'C', rejected: 'R' },
      {
        id: '3',
        prompt: [says('user', 'P')],
        chosen: [says('assistant', 'C')],
        rejected: [says('assistant', 'R')],
      },
      {
        id: '4',
        prompt: [says('user', 'P')],
        chosen: [says('assistant', 'C')],
        rejected: [says('assistant', 'R')],
      },
    ]);
  });

  it('reads all that a row asks: an instruction’s input, the system prompt, the history', async () => {
    const answers = { chosen: 'C', rejected: 'R' };
    const [system, user] = [says('system', 'S'), says('user', 'P')];
    const chat = [user, says('assistant', 'C')];
    const rows: [object, unknown][] = [
      [{ instruction: 'I', input: 'x', ...answers }, 'I\n\nx'],
      [{ instruction: 'I', input: '', ...answers }, 'I'],
      [{ prompt: 'P: x', input: 'x', ...answers }, 'P: x'],
      [{ system: 'S', question: 'P', ...answers }, [system, user]],
      [{ system: '', question: 'P', ...answers }, [user]],
      [{ system_prompt: 'S', prompt: [user], ...answers }, [system, user]],
      [{ system: 'S', prompt: [system, user], ...answers }, [system, user]],
      [{ system: 'S', chosen: chat, rejected: [user, says('assistant', 'R')] }, [system, user]],
      [{ prompt: 'P', history: [['a', 'b']], ...answers }, [says('user', 'a'), says('assistant', 'b'), user]],
      [{ system: 'S', system_prompt: 'S', prompt: 'P', ...answers }, [system, user]],
    ];
    const { examples: pairs, badRows } = await loadRows(rows.map(([row]) => row));
    expect(badRows).toEqual([]);
    expect(pairs.map(({ prompt }) => prompt)).toEqual(rows.map(([, prompt]) => prompt));
    expect(pairs[3]).toEqual({
      id: '3',
      prompt: [system, user],
      chosen: [says('assistant', 'C')],
      rejected: [says('assistant', 'R')],
    });
    const text = await loadRows([rows[3]![0]], { style: 'text' });
    expect(text.examples[0]).toMatchObject({
      prompt: '\n\nSystem: S\n\nHuman: P\n\nAssistant:',
      chosen: ' C',
    });
    const sharegpt = { system: 'S', conversations: [{ from: 'human', value: 'P' }], ...answers };
    expect((await loadRows([sharegpt])).examples[0]!.prompt).toEqual([system, user]);
    const ab = { system: 'S', prompt: 'P', response_a: 'C', response_b: 'R', winner: 'a' };
    expect((await loadRows([ab])).examples[0]).toMatchObject({
      prompt: [system, user],
      chosen: [says('assistant', 'C')],
    });
  });

  it('splits whole conversations where they part, whatever a prompt beside them repeats', async () => {
    const shared = [says('user', 'q1'), says('assistant', 'a1'), says('user', 'q2')];
    const whole = (...before: object[]) => ({
      chosen: [...before, ...shared, says('assistant', 'C')],
      rejected: [...before, ...shared, says('assistant', 'R')],
    });
    const system = says('system', 'S');
    const { examples: pairs, badRows } = await loadRows([
      { prompt: 'q1', ...whole() },
      { prompt: 'q2', ...whole(system) },
      { prompt: [], ...whole() },
      { prompt: shared.slice(0, 1), ...whole(system) },
      { prompt: 'something else', ...whole() },
      { prompt: [system, ...shared], ...whole() },
      { prompt: 'q1', chosen: whole().chosen, rejected: [...shared.slice(0, 1), says('assistant', 'R')] },
      { prompt: [], chosen: whole().chosen, rejected: [says('assistant', 'R')] },
    ]);
    expect(pairs.map(({ prompt }) => prompt)).toEqual([
      shared,
      [system, ...shared],
      shared,
      [system, ...shared],
    ]);
    for (const { chosen } of pairs) expect(chosen).toEqual([says('assistant', 'C')]);
    expect(badRows.map(({ line, reason }) => [line, reason])).toEqual([
      [5, 'transcripts-diverge'],
      [6, 'transcripts-diverge'],
      [7, 'transcripts-diverge'],
      [8, 'transcripts-diverge'],
    ]);
  });

  it('splits completions where they part, whether or not they repeat the prompt', async () => {
    const [u1, u2, a1] = [says('user', 'u1'), says('user', 'u2'), says('assistant', 'a1')];
    const [C, R] = [says('assistant', 'C'), says('assistant', 'R')];
    const both = (chosen: object[], rejected: object[], repeated: object[]) =>
      [[], repeated].map((before) => ({
        prompt: [u1],
        chosen: [...before, ...chosen],
        rejected: [...before, ...rejected],
      }));
    const { examples: pairs, badRows } = await loadRows([
      ...both([a1, u2, C], [a1, u2, R], [u1]),
      ...both([a1, u2, C], [says('assistant', 'b1'), u2, R], [u1]),
      ...both([C, u2], [R, u2], [u1]),
      { prompt: [u1], chosen: [], rejected: [R] },
      { system: 'S', prompt: [u1], chosen: [C], rejected: [u1, R] },
      { prompt: [C, u1], chosen: [C, u1, a1], rejected: [C, u1, R] },
    ]);
    expect(pairs).toEqual([
      ...['0', '1'].map((id) => ({ id, prompt: [u1, a1, u2], chosen: [C], rejected: [R] })),
      { id: '7', prompt: [says('system', 'S'), u1], chosen: [C], rejected: [R] },
      { id: '8', prompt: [C, u1], chosen: [a1], rejected: [R] },
    ]);
    expect(badRows.map(({ line, reason }) => [line, reason])).toEqual([
      ...[3, 4, 5, 6].map((line) => [line, 'transcripts-diverge']),
      [7, 'empty-completion'],
    ]);
  });

  it('takes empty cells and NaN for facts that are not stated', async () => {
    const csv = 'prompt,chosen,rejected,votes,score_chosen,score_rejected,id\nP,C,R,,,,\nP,C,R,,2,1,a\n';
    const { examples: pairs, badRows } = await load(csv, {}, 'pairs.csv');
    expect(badRows).toEqual([]);
    expect(pairs[0]).toEqual({ id: '0', prompt: 'P', chosen: 'C', rejected: 'R' });
    expect(pairs[1]).toMatchObject({ id: 'a', meta: { score_chosen: 2, score_rejected: 1 } });
    const nothing = Number.NaN;
    const facts = {
      votes_chosen: nothing,
      dispersion: nothing,
      id: nothing,
      rating: nothing,
      input: nothing,
    };
    expect(generic.read({ prompt: 'P', chosen: 'C', rejected: 'R', ...facts }, context)).toEqual([
      { prompt: 'P', chosen: 'C', rejected: 'R' },
    ]);
    const unstated = { system: nothing, system_prompt: nothing, history: nothing };
    expect(generic.read({ prompt: 'P', chosen: 'C', rejected: 'R', ...unstated }, context)).toMatchObject([
      { prompt: [says('user', 'P')] },
    ]);
  });

  it('reads votes and dispersion from CSV columns', async () => {
    const csv = 'prompt,chosen,rejected,votes_chosen,votes_rejected,dispersion\nP,C,R,4,1,0.25\nP,C,R,,,\n';
    const { examples: pairs } = await load(csv, {}, 'pairs.csv');
    expect(pairs[0]).toMatchObject({ votes: { chosen: 4, rejected: 1 }, dispersion: 0.25 });
    expect(pairs[1]).toEqual({ id: '1', prompt: 'P', chosen: 'C', rejected: 'R' });
  });

  it('takes other column names when told, and a format by name', async () => {
    const columns = { prompt: 'q', chosen: 'good', rejected: 'bad' };
    const { examples: pairs } = await loadRows([{ q: 'P', good: 'C', bad: 'R' }], { columns });
    expect(pairs[0]).toMatchObject({ prompt: 'P', chosen: 'C', rejected: 'R' });
    const named = await loadRows(
      [{ prompt: 'P', chosen: 'C', rejected: 'R', score_chosen: 1, score_rejected: 0 }],
      { format: 'generic' },
    );
    expect(named.format).toBe('generic');
    expect(await failure([{}], { format: 'ultrafeedbak' })).toMatchObject({
      code: 'unknown-format',
      hint: expect.stringContaining('Did you mean "ultrafeedback"?'),
    });
  });
});

describe('what cannot be used', () => {
  const good = { prompt: 'P', chosen: 'C', rejected: 'R' };

  it('is listed with file, line and reason', async () => {
    const content = `${jsonLines(good)}{"prompt":\n${jsonLines(
      { prompt: 'P', chosen: 'C' },
      { ...good, rejected: 'C' },
      { ...good, chosen: ' \n' },
      { ...good, rejected: null },
      { ...good, prompt: 5 },
      { ...good, prompt: [{ role: 'bot', content: 'x' }] },
      { ...good, chosen: [{ role: 'assistant', content: [{ type: 'image' }] }] },
      { ...good, dispersion: 1.5 },
      { ...good, votes: { chosen: -1, rejected: 2 } },
    )}`;
    const { examples: pairs, badRows } = await load(content);
    expect(pairs).toHaveLength(1);
    expect(badRows.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'invalid-json'],
      [3, 'missing-field'],
      [4, 'identical-completions'],
      [5, 'empty-completion'],
      [6, 'missing-field'],
      [7, 'wrong-type'],
      [8, 'wrong-type'],
      [9, 'wrong-type'],
      [10, 'wrong-type'],
      [11, 'wrong-type'],
    ]);
    expect(badRows.every(({ file }) => file.endsWith('pairs.jsonl'))).toBe(true);
    expect(summarizeReasons(badRows)).toContain('wrong kind of value: 5');
  });

  it('does not hide the rows after it, however many there are', async () => {
    const { examples: pairs, badRows } = await load(`${'{broken\n'.repeat(200)}${jsonLines(good)}`);
    expect(pairs).toHaveLength(1);
    expect(badRows).toHaveLength(200);
  });

  it('stops strict reading with its place', async () => {
    const error = await failure([good, { ...good, rejected: 'C' }], { strict: true });
    expect(error).toMatchObject({ code: 'identical-completions', at: { line: 2 } });
  });

  it('is explained when it is everything', async () => {
    const error = await failure([
      { ...good, rejected: 'C' },
      { ...good, chosen: '' },
      { ...good, chosen: '' },
      { ...good, chosen: '' },
    ]);
    expect(error.code).toBe('no-usable-rows');
    expect(error.message).toContain('(empty completion: 3, identical completions: 1)');
    expect(error.message.match(/pairs\.jsonl:\d/g)).toHaveLength(3);
    expect(error.hint).toContain('{prompt, chosen, rejected}');
  });

  it('names a missing column for the whole file, with the misspelt one', async () => {
    const error = await failure([{ prompt: 'P', chosen: 'C', rejcted: 'R' }]);
    expect(error.code).toBe('missing-columns');
    expect(error.message).toContain('Found: prompt, chosen, rejcted');
    expect(error.hint).toContain('"rejcted" looks like "rejected"');
    expect(error.hint).toContain('columns: { prompt: YOUR_COLUMN }');
  });

  it('is every equal id, with both lines', async () => {
    const error = await failure([{ ...good, id: 'x' }, good, { ...good, id: 'x' }]);
    expect(error.code).toBe('duplicate-id');
    expect(error.message).toMatch(/pairs\.jsonl:1 and at .*pairs\.jsonl:3/);
  });

  it('is whatever would lose what the model said or saw', async () => {
    const call = [{ id: 'c', function: { name: 'f' } }];
    const said = (fields: object) => ({ ...good, prompt: [{ role: 'user', content: 'P', ...fields }] });
    const { examples: pairs, badRows } = await loadRows([
      said({ name: null, tool_calls: '[]', images: [], reasoning_content: '', thinking: ' ', weight: 1 }),
      { ...good, tools: '[]' },
      said({ role: 'assistant', content: null, tool_calls: call }),
      said({ role: 'tool', tool_call_id: 'c' }),
      said({ thinking: 'hm' }),
      { ...good, tools: [{ type: 'function' }] },
      { ...good, input: 'a text to sum up' },
      {
        chosen: [says('user', 'P'), says('assistant', 'C')],
        rejected: [says('user', 'P'), says('assistant', 'R')],
        input: 'a text',
      },
      { ...good, system: 'S', prompt: [says('system', 'T'), says('user', 'P')] },
      { ...good, history: ['a'] },
      { ...good, system: 'S', system_prompt: 'T' },
    ]);
    expect(pairs).toHaveLength(2);
    expect(badRows.map(({ line, reason }) => [line, reason])).toEqual(
      [3, 4, 5, 6, 7, 8, 9, 10, 11].map((line) => [line, 'wrong-type']),
    );
    expect(badRows.at(-1)!.detail).toBe('two system prompts: S in "system", T in "system_prompt"');
    expect(badRows[0]!.detail).toContain('message 1 of "prompt" has "tool_calls", which would be lost');
  });

  it('gives way with a row’s number to an equal id of the data', async () => {
    const { examples: pairs } = await loadRows([good, { ...good, id: 0 }, { ...good, id: 3 }, good]);
    expect(pairs.map(({ id }) => id)).toEqual(['row-0', '0', '3', 'row-3']);
  });

  it('numbers rows without an id from zero, bad rows included', async () => {
    const { examples: pairs, locations } = await loadRows([good, { ...good, rejected: 'C' }, good]);
    expect(pairs.map(({ id }) => id)).toEqual(['0', '2']);
    expect(locations.map(({ line }) => line)).toEqual([1, 3]);
  });

  it('never includes inherited properties or a polluted prototype', async () => {
    const { examples: pairs } = await load(
      '{"prompt":"P","chosen":"C","rejected":"R","__proto__":{"votes":{"chosen":1,"rejected":0}}}\n',
    );
    expect(pairs).toEqual([{ id: '0', ...good }]);
    expect(Object.hasOwn(Object.prototype, 'votes')).toBe(false);
    expect(await failure([{ constructor: 1 }])).toMatchObject({ code: 'missing-columns' });
  });
});

it('keeps the first rows when limited', async () => {
  const rows = Array.from({ length: 200 }, (_, i) => ({ prompt: `${i}`, chosen: 'C', rejected: 'R' }));
  const { examples: pairs } = await loadRows(rows, { limit: 70 });
  expect(pairs.map(({ prompt }) => prompt)).toEqual(rows.slice(0, 70).map(({ prompt }) => prompt));
});

describe('hash', () => {
  it('depends on the pairs alone, not on the order of keys or the file’s name', async () => {
    const one = await load('{"prompt":"P","chosen":"C","rejected":"R","z":1,"a":2}\n', {}, 'one.jsonl');
    const two = await load('{"a":2,"rejected":"R","z":1,"chosen":"C","prompt":"P"}\n', {}, 'two.jsonl');
    const other = await load('{"prompt":"P","chosen":"C","rejected":"r","z":1,"a":2}\n');
    expect(one.hash).toBe(two.hash);
    expect(one.hash).not.toBe(other.hash);
  });

  it('is SHA-256 of canonical JSON lines', async () => {
    const { hash } = await loadRows([{ prompt: 'P', chosen: 'C', rejected: 'R' }]);
    // printf '%s\n' '{"chosen":"C","id":"0","prompt":"P","rejected":"R"}' | sha256sum
    expect(hash).toBe('f2c4dd81bbd253537e0b3e24d40c042bd3e3ea38b28bfde1715e8285f9712f7e');
    expect(canonicalJson({ b: [1, { d: 1, c: undefined }], a: 'é\ud800' })).toBe(
      '{"a":"é\\ud800","b":[1,{"d":1}]}',
    );
  });
});
