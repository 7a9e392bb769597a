import { ReadableStream } from 'node:stream/web';
import { describe, expect, it } from 'vitest';
import { jsonLines, withFiles } from '../../tests/support/data.ts';
import { loadLabelled } from './labelled.ts';
import { type LoadPairsOptions, loadPairs } from './pairs.ts';
import { loadPrompts } from './prompts.ts';
import { loadSft } from './sft.ts';
import type { Rows } from './sources/index.ts';
import { loadVoted } from './voted.ts';

const says = (role: string, content: unknown) => ({ role, content });
const pair = (number: number, more: object = {}) => ({
  prompt: `Question ${number}?`,
  chosen: 'Yes.',
  rejected: 'No.',
  ...more,
});
const ab = [
  { prompt: 'Tea?', response_a: 'Yes.', response_b: 'No.', winner: 'a' },
  { prompt: 'Milk?', response_a: 'Yes.', response_b: 'No.', winner: 'b' },
];

function* generated<T>(rows: readonly T[]) {
  yield* rows;
}

async function* streamed<T>(rows: Iterable<T>) {
  for (const row of rows) {
    await new Promise((resume) => setImmediate(resume));
    yield row;
  }
}

function webStream<T>(rows: readonly T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const row of rows) controller.enqueue(row);
      controller.close();
    },
  });
}

/** The same rows as a program has them and as a file has them. */
async function bothWays(rows: readonly object[], options?: LoadPairsOptions) {
  const fromFile = await withFiles({ 'rows.jsonl': jsonLines(...rows) }, (path) =>
    loadPairs(path('rows.jsonl'), options),
  );
  return { fromFile, inMemory: await loadPairs(rows, options) };
}

describe('rows in memory', () => {
  it('are read as a file of them is, to the hash', async () => {
    const rows = [
      pair(1, { id: 'a', votes: { chosen: 3, rejected: 1 }, dispersion: 0.4, score_chosen: 2, note: 'x' }),
      pair(2, { score_rejected: 1 }),
      pair(3, { chosen: '  ' }),
      pair(4, { prompt: [says('user', 'Q')] }),
    ];
    const { fromFile, inMemory } = await bothWays(rows);
    expect(inMemory.examples).toEqual(fromFile.examples);
    expect(inMemory).toMatchObject({ hash: fromFile.hash, format: fromFile.format, source: 'memory' });
    expect(inMemory.locations.map(({ line }) => line)).toEqual([1, 2, 4]);
  });

  it('that are pairs already stay what they are, ratings and facts included', async () => {
    const { examples, hash } = await loadPairs([
      pair(1, { id: 'a', votes: { chosen: 3, rejected: 1, tie: 0 }, score_chosen: 8, score_rejected: 2 }),
      pair(2, { dispersion: 0.5, topic: 'tea', long: 'x'.repeat(300) }),
      {
        chosen: [says('user', 'Q'), says('assistant', 'A')],
        rejected: [says('user', 'Q'), says('assistant', 'B')],
      },
    ]);
    expect(examples[0]!.meta).toEqual({ score_chosen: 8, score_rejected: 2 });
    const again = await loadPairs(examples);
    expect(again.examples).toEqual(examples);
    expect(again.hash).toBe(hash);
  });

  it('keep their ids and are numbered where they have none', async () => {
    const { examples } = await loadPairs([
      pair(1),
      pair(2, { id: 7 }),
      pair(3, { id: 12345678901234567890n }),
      pair(4, { id: '0' }),
      pair(5, { id: 9n }),
    ]);
    expect(examples.map(({ id }) => id)).toEqual(['row-0', '7', '12345678901234567890', '0', '9']);
  });

  it('may not share an id', async () => {
    await expect(loadPairs([pair(1, { id: 'x' }), pair(2), pair(3, { id: 'x' })])).rejects.toMatchObject({
      code: 'duplicate-id',
      message: expect.stringContaining('memory:1 and at memory:3'),
    });
  });

  it.each<[string, unknown, string]>([
    ['an empty completion', pair(2, { chosen: '' }), 'empty-completion'],
    ['white space', pair(2, { rejected: ' \n' }), 'empty-completion'],
    ['null', pair(2, { chosen: null }), 'missing-field'],
    ['undefined', pair(2, { prompt: undefined }), 'missing-field'],
    ['equal completions', pair(2, { rejected: 'Yes.' }), 'identical-completions'],
    ['a role that nobody has', pair(2, { prompt: [says('bot', 'Q')] }), 'wrong-type'],
    ['an image', pair(2, { prompt: [says('user', [{ type: 'image_url' }])] }), 'wrong-type'],
    ['null as a row', null, 'wrong-type'],
    ['text as a row', 'Question 2?', 'wrong-type'],
    ['a list as a row', ['Question 2?', 'Yes.', 'No.'], 'wrong-type'],
  ])('with %s are left out and named', async (_, row, reason) => {
    const rows = [pair(1), row, pair(3)] as readonly object[];
    const { examples, badRows } = await loadPairs(rows);
    expect(examples.map(({ id }) => id)).toEqual(['0', '2']);
    expect(badRows).toMatchObject([{ file: 'memory', line: 2, reason }]);
    await expect(loadPairs(rows, { strict: true })).rejects.toMatchObject({
      code: reason,
      at: { file: 'memory', line: 2 },
    });
  });

  it('have their content parts put together', async () => {
    const content = [
      { type: 'text', text: 'Hi ' },
      { type: 'text', text: 'there' },
    ];
    const { examples } = await loadPairs([pair(1, { prompt: [says('user', content)] })]);
    expect(examples[0]!.prompt).toEqual([says('user', 'Hi there')]);
  });

  it('without a value in a column say so', async () => {
    await expect(
      loadPairs([pair(1, { prompt: undefined }), pair(2, { prompt: null })]),
    ).rejects.toMatchObject({
      code: 'missing-columns',
      message: expect.stringContaining('Found: chosen, rejected; without a value: prompt.'),
    });
  });

  it('obey style, columns, format and limit', async () => {
    const chat = await loadPairs([pair(1)], { style: 'chat' });
    expect(chat.examples[0]).toMatchObject({
      prompt: [says('user', 'Question 1?')],
      chosen: [says('assistant', 'Yes.')],
    });
    const messages = {
      prompt: [says('user', 'Q')],
      chosen: [says('assistant', 'A')],
      rejected: [says('assistant', 'B')],
    };
    const text = await loadPairs([messages], { chatTemplate: false });
    expect(text.examples[0]).toMatchObject({ prompt: '\n\nHuman: Q\n\nAssistant:', chosen: ' A' });
    const renamed = await loadPairs([{ query: 'Q', good: 'A', bad: 'B' }], {
      columns: { prompt: 'query', chosen: 'good', rejected: 'bad' },
    });
    expect(renamed.examples).toEqual([{ id: '0', prompt: 'Q', chosen: 'A', rejected: 'B' }]);
    await expect(loadPairs([pair(1)], { format: 'ab' })).rejects.toMatchObject({ code: 'no-usable-rows' });
    expect((await loadPairs([pair(1), pair(2)], { limit: 1 })).examples).toHaveLength(1);
  });

  it('come from databases with counts as BigInt, times as Date, and rows without a prototype', async () => {
    const row = Object.assign(Object.create(null), pair(1), {
      votes_chosen: 3n,
      votes_rejected: 1n,
      asked: new Date(0),
      edited: new Date(Number.NaN),
    });
    const nested = pair(2, { votes: { chosen: 2n, rejected: 1n } });
    const { examples, badRows } = await loadPairs([row, nested]);
    expect(badRows).toEqual([]);
    expect(examples.map(({ votes }) => votes)).toEqual([
      { chosen: 3, rejected: 1 },
      { chosen: 2, rejected: 1 },
    ]);
    expect(examples[0]!.meta).toEqual({ asked: '1970-01-01T00:00:00.000Z' });
  });

  it('come from databases with text as bytes', async () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const rows = [
      { ...pair(1), prompt: Buffer.from('Grüße?'), chosen: bytes('Ja.') },
      { ...pair(2), rejected: Buffer.from([0x4e, 0xff]) },
      { ...pair(3), image: Buffer.from([0xff, 0xd8]) },
    ];
    const { examples, badRows } = await loadPairs(rows);
    expect(examples[0]).toMatchObject({ prompt: 'Grüße?', chosen: 'Ja.', rejected: 'No.' });
    expect(examples.map(({ id }) => id)).toEqual(['0', '2']);
    expect(badRows).toMatchObject([
      { line: 2, reason: 'invalid-utf8', detail: expect.stringContaining('at byte 2') },
    ]);
  });

  it('have no columns that only their class has', async () => {
    class Choice {
      readonly #row = pair(1);
      readonly number = 1;
      get prompt() {
        return this.#row.prompt;
      }
      get chosen() {
        return this.#row.chosen;
      }
      get rejected() {
        return this.#row.rejected;
      }
    }
    await expect(loadPairs([new Choice()])).rejects.toMatchObject({
      code: 'missing-columns',
      message: expect.stringContaining(
        'Found: number; inherited, which makes no columns: prompt, chosen, rejected.',
      ),
      hint: "Only an object's own properties are columns: give plain objects.",
    });
  });

  it.each<[string, (rows: Iterable<object>) => Rows]>([
    ['without pauses', (rows) => rows],
    ['from a stream', streamed],
  ])('that never end are read until they are stopped, and closed: %s', async (_, given) => {
    const stop = new AbortController();
    let isClosed = false;
    function* endless() {
      try {
        for (let number = 0; ; number++) yield pair(number);
      } finally {
        isClosed = true;
      }
    }
    setTimeout(() => stop.abort(), 5);
    const loading = loadPairs(given(endless()), { signal: stop.signal });
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' });
    expect(isClosed).toBe(true);
  });

  it('may hold other objects that lead back to themselves', async () => {
    const row: Record<string, unknown> = pair(1);
    row.owner = { rows: [row] };
    expect((await loadPairs([row])).examples).toHaveLength(1);
  });
});

describe('rows of a program, whatever gives them', () => {
  it.each<[string, () => Rows]>([
    ['an array', () => ab],
    ['a generator', () => generated(ab)],
    ['an async generator', () => streamed(ab)],
    ['a set', () => new Set(ab)],
    ['a ReadableStream', () => webStream(ab)],
  ])('go through the layouts: %s', async (_, rows) => {
    const pairs = await loadPairs(rows());
    expect(pairs.format).toBe('ab');
    expect(pairs.examples).toEqual([
      { id: '0', prompt: 'Tea?', chosen: 'Yes.', rejected: 'No.' },
      { id: '1', prompt: 'Milk?', chosen: 'No.', rejected: 'Yes.' },
    ]);
    const learnt = await loadSft(rows());
    expect(learnt.examples.map(({ completion }) => completion)).toEqual(['Yes.', 'No.']);
    const asked = await loadPrompts(rows());
    expect(asked.examples.map(({ prompt }) => prompt)).toEqual(['Tea?', 'Milk?']);
    const voted = await loadVoted(
      streamed(ab.map((row) => ({ ...row, votes_chosen: 2, votes_rejected: 1 }))),
    );
    expect(voted.examples[1]).toMatchObject({ first: 'No.', votes: { first: 2, second: 1, tie: 0 } });
    const labelled = await loadLabelled(generated([{ review: 'Good.', sentiment: 'positive' }]));
    expect(labelled.examples).toEqual([{ id: '0', text: 'Good.', label: 1 }]);
  });

  it('are read once, and ended where reading stops before they do', async () => {
    const events: string[] = [];
    async function* cursor() {
      try {
        for (let number = 0; ; number++) {
          events.push('row');
          yield pair(number, number === 70 ? { chosen: '' } : {});
        }
      } finally {
        events.push('closed');
      }
    }
    await loadPairs(cursor(), { limit: 3, format: 'generic' });
    expect(events).toEqual(['row', 'row', 'row', 'closed']);
    await expect(loadPairs(cursor(), { strict: true })).rejects.toMatchObject({ code: 'empty-completion' });
    expect(events.at(-1)).toBe('closed');
  });

  it('fail as what gives them fails', async () => {
    const lost = new Error('connection lost');
    async function* cursor() {
      yield pair(1);
      throw lost;
    }
    await expect(loadPairs(cursor())).rejects.toBe(lost);
  });

  it('of which there are none are an error, of rows and not of paths', async () => {
    for (const none of [[], streamed([])]) {
      await expect(loadPairs(none)).rejects.toMatchObject({
        code: 'empty-file',
        message: 'memory holds no rows.',
      });
    }
  });

  it.each([
    ['undefined', undefined, 'received undefined'],
    ['a result with the rows in it', { rows: ab }, 'received {"rows":'],
    ['a promise', Promise.resolve(ab), 'received a promise'],
    ['a generator that nobody called', streamed, 'received a function streamed'],
  ])('are not %s', async (_, source, received) => {
    await expect(loadPairs(source as unknown as Rows)).rejects.toMatchObject({
      code: 'data-source',
      message: expect.stringContaining(received),
    });
  });
});

describe('loadSft of rows in memory', () => {
  it('takes a completion that has no prompt, alone', async () => {
    const rows = [
      { id: 'a', prompt: undefined, completion: 'Once.' },
      { id: 'b', completion: 'Twice.' },
      { id: 'c', prompt: 'How often?', completion: 'Thrice.' },
    ];
    const { examples } = await loadSft(rows);
    expect(examples).toEqual([
      { id: 'a', completion: 'Once.' },
      { id: 'b', completion: 'Twice.' },
      { id: 'c', prompt: 'How often?', completion: 'Thrice.' },
    ]);
    expect((await loadSft(examples)).examples).toEqual(examples);
    const turns = [says('user', 'Q'), says('assistant', 'A')];
    expect((await loadSft([{ completion: turns }], { style: 'text' })).examples[0]!.completion).toBe(
      '\n\nHuman: Q\n\nAssistant: A',
    );
  });

  it('does not take a prompt of another name for none', async () => {
    await expect(loadSft([{ promt: 'How often?', completion: 'Once.' }])).rejects.toMatchObject({
      code: 'missing-columns',
      hint: expect.stringMatching(/"promt" looks like "prompt"/i),
    });
  });
});
