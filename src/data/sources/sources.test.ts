import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it, vi } from 'vitest';
import { jsonLines, withFiles } from '../../../tests/support/data.ts';
import { loadPairs } from '../pairs.ts';
import { plainText } from '../text.ts';
import { readLines } from './bytes.ts';
import type { HubFetcher, SourceRow } from './contract.ts';
import { parseHubDataset, selectSplit } from './hub.ts';
import { openSource } from './index.ts';
import { readElements } from './json.ts';

/** Rows of some files, as `[line, row or reason]`. */
async function read(files: Record<string, string | Uint8Array>, name = Object.keys(files)[0]!) {
  return withFiles(files, async (path) => {
    const rows: [number, unknown][] = [];
    for await (const item of (await openSource(path(name))).rows()) rows.push([item.line, shown(item)]);
    return rows;
  });
}

const shown = (item: SourceRow) => ('row' in item ? item.row : item.reason);
const utf8 = (text: string) => Buffer.from(text);

describe('JSON Lines', () => {
  it('keeps the line numbers of the file over blank lines, CRLF, a byte-order mark and a missing last break', async () => {
    const rows = await read({ 'a.jsonl': '\ufeff{"a":1}\r\n\r\n   \n{"a":2}\n{"a":3}' });
    expect(rows).toEqual([
      [1, { a: 1 }],
      [4, { a: 2 }],
      [5, { a: 3 }],
    ]);
  });

  it('reads gzip by its bytes, whatever the name says', async () => {
    const packed = gzipSync('{"a":1}\n{"a":2}\n');
    expect(await read({ 'a.jsonl.gz': packed })).toEqual(await read({ 'b.jsonl': packed }));
  });

  it('reports broken JSON, other values than objects, and invalid UTF-8 each on its line', async () => {
    const bytes = Buffer.concat([
      utf8('{"a":\n[1]\n{"a":"caf'),
      Buffer.from([0xe9]),
      utf8('"}\n{"a":"café"}\n'),
    ]);
    expect(await read({ 'a.jsonl': bytes })).toEqual([
      [1, 'invalid-json'],
      [2, 'wrong-type'],
      [3, 'invalid-utf8'],
      [4, { a: 'café' }],
    ]);
  });

  it('says where the UTF-8 breaks', async () => {
    await withFiles(
      { 'a.jsonl': Buffer.concat([utf8('{"a":"caf'), Buffer.from([0xe9]), utf8('"}')]) },
      async (path) => {
        for await (const item of (await openSource(path('a.jsonl'))).rows()) {
          expect(item).toMatchObject({ detail: 'not valid UTF-8 at byte 10 (0xe9, after "{"a":"caf")' });
        }
      },
    );
  });

  it('lets go of a line that is longer than the limit, and reads the next', async () => {
    await withFiles({ 'a.jsonl': `${'x'.repeat(200_000)}\nshort\n` }, async (path) => {
      const lines: (string | undefined)[] = [];
      for await (const { bytes } of readLines(path('a.jsonl'), 1000)) lines.push(bytes?.toString());
      expect(lines).toEqual([undefined, 'short']);
    });
  });

  it('reports a compressed file that was cut short', async () => {
    const packed = gzipSync(
      jsonLines({ a: 'x'.repeat(5000) }, { b: Array.from({ length: 900 }, (_, i) => i * 7919) }),
    );
    await expect(read({ 'a.jsonl.gz': packed.subarray(0, -40) })).rejects.toMatchObject({
      code: 'damaged-file',
    });
  });

  it('does not let a row reach the prototype of anything', async () => {
    const [[, row] = []] = await read({ 'a.jsonl': '{"__proto__":{"polluted":true},"constructor":1}\n' });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  });

  it('survives nesting that would overflow a recursive reader', async () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(await read({ 'a.jsonl': `{"a":${deep}}\n{"a":1}\n` })).toHaveLength(2);
  });
});

describe('JSON', () => {
  it('numbers an array’s elements by the line where they begin, and a broken one costs only itself', async () => {
    const rows = await read({
      'a.json': '[\n {"a": "x, ]}\\"{"},\n\n {"a":\n   [1, {"b": 2}]},\n {"a" 3}, 7\n]\n',
    });
    expect(rows).toEqual([
      [2, { a: 'x, ]}"{' }],
      [4, { a: [1, { b: 2 }] }],
      [6, 'invalid-json'],
      [6, 'wrong-type'],
    ]);
  });

  it('cuts an array wherever chunks end, and lets go of an element that is longer than the limit', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({ i, t: `é"\\${'x'.repeat(i % 97)}]` }));
    const text = `\ufeff ${JSON.stringify(rows)}`;
    expect(text.length).toBeGreaterThan(64 * 1024);
    expect(await read({ 'a.json': text })).toEqual(rows.map((row) => [1, row]));
    await withFiles({ 'a.json': `[1, "${'x'.repeat(200_000)}",\n2]` }, async (path) => {
      const elements: unknown[] = [];
      for await (const { line, bytes } of readElements(path('a.json'), 'a.json', 1000))
        elements.push([line, bytes?.toString()]);
      expect(elements).toEqual([
        [1, '1'],
        [1, undefined],
        [2, '2'],
      ]);
    });
  });

  it('loses one element to invalid UTF-8', async () => {
    const bytes = Buffer.concat([utf8('[{"a":"'), Buffer.from([0xe9]), utf8('"},{"a":1}]')]);
    expect(await read({ 'a.json': bytes })).toEqual([
      [1, 'invalid-utf8'],
      [1, { a: 1 }],
    ]);
  });

  it('keeps the digits of whole numbers that a double does not hold', async () => {
    const line =
      '{"id":1234567890123456789,"a":[-1234567890123456789, 0.12345678901234568],"b":"\\" 1234567890123456789"}';
    const row = {
      id: '1234567890123456789',
      a: ['-1234567890123456789', 0.12345678901234568],
      b: '" 1234567890123456789',
    };
    expect(await read({ 'a.jsonl': line })).toEqual([[1, row]]);
  });

  it('reads JSON Lines under the name .json', async () => {
    expect(await read({ 'a.json': '{"a":1}\n{"a":2}\n' })).toHaveLength(2);
  });

  it.each([
    ['another array, as joined files have', '[{"a":1}]\n\n[{"a":2}]\n', 3],
    ['rows after a bracket too many', '[{"a":1}],\n{"a":2}]', 1],
    ['an object', `[{"a":1}]${'\n'.repeat(100_000)}{"a":2}`, 100_001],
  ])('refuses %s after the end of the array, instead of losing it', async (_, text, line) => {
    await expect(read({ 'a.json': text })).rejects.toMatchObject({
      code: 'damaged-file',
      message: expect.stringContaining('after the end of its JSON array'),
      at: { line },
    });
  });

  it('takes white space after the end of the array', async () => {
    expect(await read({ 'a.json': '[{"a":1}] \r\n\t\n' })).toEqual([[1, { a: 1 }]]);
  });

  it('reports an array that does not end', async () => {
    await expect(read({ 'a.json': '[{"a":1},\n{"a":2}' })).rejects.toMatchObject({
      code: 'damaged-file',
      at: { line: 2 },
    });
  });
});

describe('CSV', () => {
  it('numbers records by the line where they begin', async () => {
    const rows = await read({ 'a.csv': '\ufeffa,b\r\n1,"x\r\ny"\r\n\r\n2,"say ""hi"", ok"\n3\n' });
    expect(rows).toEqual([
      [2, { a: '1', b: 'x\r\ny' }],
      [5, { a: '2', b: 'say "hi", ok' }],
      [6, 'invalid-csv'],
    ]);
  });

  it('finds invalid UTF-8 by record', async () => {
    const bytes = Buffer.concat([utf8('a,b\n1,caf'), Buffer.from([0xe9]), utf8('\n2,café\n')]);
    expect(await read({ 'a.csv': bytes })).toEqual([
      [2, 'invalid-utf8'],
      [3, { a: '2', b: 'café' }],
    ]);
  });

  it('refuses broken quoting with the line, and a header that names a column twice', async () => {
    await expect(read({ 'a.csv': 'a,b\n1,2\n3,"x"y\n' })).rejects.toMatchObject({
      code: 'invalid-csv',
      at: { line: 3 },
    });
    await expect(read({ 'a.csv': 'a,b,a\n1,2,3\n' })).rejects.toMatchObject({ code: 'repeated-column' });
  });

  it('drops the empty columns that spreadsheets append, and keeps the index that pandas prepends', async () => {
    expect(await read({ 'a.csv': 'a,b,,\n1,2,, \n1,2,,x\n' })).toEqual([
      [2, { a: '1', b: '2' }],
      [3, 'invalid-csv'],
    ]);
    expect(await read({ 'a.csv': ',a\n0,1\n' })).toEqual([[2, { '': '0', a: '1' }]]);
  });

  it('reads tab-separated values', async () => {
    expect(await read({ 'a.tsv': 'a\tb\n1\tx, y\n' })).toEqual([[2, { a: '1', b: 'x, y' }]]);
  });
});

describe('Parquet', () => {
  it('reads nested chat lists and integers over several row groups', async () => {
    const messages = [{ role: 'user', content: 'Hé?' }];
    const bytes = parquetWriteBuffer({
      columnData: [
        { name: 'prompt', data: Array.from({ length: 5 }, () => messages), type: 'JSON' },
        { name: 'score', data: [1n, 2n, 3n, 4n, 5n], type: 'INT64' },
        { name: 'id', data: [1n, 2n, 3n, 4n, 1234567890123456789n], type: 'INT64' },
      ],
      rowGroupSize: 2,
    });
    const rows = await read({ 'a.parquet': new Uint8Array(bytes) });
    expect(rows.map(([line]) => line)).toEqual([1, 2, 3, 4, 5]);
    expect(rows[4]![1]).toEqual({ prompt: messages, score: 5, id: '1234567890123456789' });
  });

  it('refuses text that is not UTF-8 where it is read, and passes over bytes that are no text', async () => {
    const latin1 = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));
    const column = (name: string, values: string[]) =>
      ({ name, data: values.map(latin1), type: 'BYTE_ARRAY' }) as const;
    const turn = (content: string) => [{ role: 'user', content }];
    const bytes = parquetWriteBuffer({
      columnData: [
        { name: 'prompt', data: [turn('Hi'), turn('Hi'), turn('Hi')], type: 'JSON' },
        column('chosen', ['yes', 'caf\u00e9', 'yes']),
        column('rejected', ['no', 'no', 'no']),
        column('image', ['\u0089PNG\0', '', 'note']),
      ],
    });
    await withFiles({ 'a.parquet': new Uint8Array(bytes) }, async (path) => {
      const { examples, badRows } = await loadPairs(path('a.parquet'));
      expect(examples.map((pair) => [pair.id, plainText(pair.chosen)])).toEqual([
        ['0', 'yes'],
        ['2', 'yes'],
      ]);
      expect(badRows).toMatchObject([
        {
          line: 2,
          reason: 'invalid-utf8',
          detail: '"chosen" is not valid UTF-8 at byte 4 (0xe9, after "caf")',
        },
      ]);
    });
  });

  it('reports a file that is not Parquet', async () => {
    await expect(read({ 'a.parquet': 'no parquet at all' })).rejects.toMatchObject({ code: 'damaged-file' });
  });
});

describe('finding files', () => {
  it('explains a missing file, a directory, an empty file, an unknown type and UTF-16', async () => {
    await withFiles(
      { 'pairs.jsonl': '{}\n', 'empty.jsonl': '', 'notes.doc': 'x', 'u.csv': '\xff\xfea\0' },
      async (path) => {
        const failure = (name: string) =>
          openSource(path(name)).then(
            (source) => drain(source.rows()),
            (error) => error,
          );
        expect(await failure('pair.jsonl')).toMatchObject({
          code: 'missing-file',
          hint: expect.stringContaining('pairs.jsonl'),
        });
        expect(await failure('.')).toMatchObject({
          code: 'directory-given',
          hint: expect.stringContaining('pairs.jsonl'),
        });
        expect(await failure('empty.jsonl')).toMatchObject({ code: 'empty-file' });
        expect(await failure('notes.doc')).toMatchObject({ code: 'unknown-file-type' });
        expect(await failure('*.parquet')).toMatchObject({ code: 'missing-file' });
      },
    );
    const utf16 = Buffer.from('\ufeffa,b\n', 'utf16le');
    await expect(read({ 'u.csv': utf16 })).rejects.toMatchObject({ code: 'unsupported-encoding' });
  });

  it('reads what a pattern matches as one, by name', async () => {
    const files = { 'b-1.jsonl': '{"n":2}\n', 'a-1.jsonl': '{"n":1}\n', 'c.jsonl': '{"n":3}\n' };
    await withFiles(files, async (path) => {
      const rows: unknown[] = [];
      for await (const item of (await openSource([path('?-1.jsonl'), path('c.jsonl')])).rows())
        rows.push(shown(item));
      expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    });
  });
});

async function drain(rows: AsyncIterable<unknown>): Promise<unknown> {
  try {
    for await (const _ of rows);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('hub data sets', () => {
  it('reads their names', () => {
    expect(parseHubDataset('hf:org/name')).toEqual({ repository: 'org/name' });
    expect(parseHubDataset('hf:Anthropic/hh-rlhf@1a2b/harmless-base:test')).toEqual({
      repository: 'Anthropic/hh-rlhf',
      revision: '1a2b',
      path: 'harmless-base',
      split: 'test',
    });
    expect(parseHubDataset('hf:datasets/org/name:dev')).toEqual({ repository: 'org/name', split: 'dev' });
    expect(parseHubDataset('datasets/pairs.jsonl')).toBeUndefined();
    expect(() => parseHubDataset('hf:name')).toThrow(/does not name a hub data set/);
  });

  it('chooses a split’s files, and explains when it cannot', () => {
    const paths = [
      'README.md',
      'data/test-00000-of-00001.parquet',
      'data/train-00001.parquet',
      'data/train-00000.parquet',
    ];
    const dataset = { repository: 'o/n' };
    expect(selectSplit(paths, dataset)).toEqual(['data/train-00000.parquet', 'data/train-00001.parquet']);
    expect(() => selectSplit(paths, { ...dataset, split: 'dev' })).toThrow(/no data files of a split "dev"/);
    expect(selectSplit(['a.jsonl', 'b.jsonl', 'c.md'], dataset)).toEqual(['a.jsonl', 'b.jsonl']);
    const folders = ['a/train.jsonl.gz', 'b/train.jsonl.gz'];
    expect(() => selectSplit(folders, dataset)).toThrow(/in 2 folders/);
    expect(selectSplit(folders, { ...dataset, path: 'b' })).toEqual(['b/train.jsonl.gz']);
    expect(selectSplit(folders, { ...dataset, path: 'a/train.jsonl.gz' })).toEqual(['a/train.jsonl.gz']);
  });

  it('reads one kind of files, and none that are about the data', () => {
    const dataset = { repository: 'o/n' };
    const about = ['LICENSE.txt', 'dataset_infos.json', 'requirements.txt'];
    expect(selectSplit([...about, 'orca.jsonl'], dataset)).toEqual(['orca.jsonl']);
    expect(selectSplit(about, { ...dataset, path: 'LICENSE.txt' })).toEqual(['LICENSE.txt']);
    expect(() => selectSplit(about, dataset)).toThrow(/no data files/);
    expect(selectSplit(['train.csv', 'train.parquet'], dataset)).toEqual(['train.parquet']);
    expect(selectSplit(['a.csv', 'b.csv', 'index.jsonl'], dataset)).toEqual(['a.csv', 'b.csv']);
    expect(selectSplit(['train.jsonl', 'train.jsonl.gz'], dataset)).toEqual(['train.jsonl']);
    const corpus = ['train.txt', 'test.txt', ...about];
    expect(selectSplit(corpus, dataset)).toEqual(['train.txt']);
    expect(selectSplit(corpus, { ...dataset, split: 'test' })).toEqual(['test.txt']);
    expect(selectSplit(['poems.txt', 'README.txt'], dataset)).toEqual(['poems.txt']);
    expect(selectSplit(['train.txt', 'train.csv'], dataset)).toEqual(['train.csv']);
  });

  it('reads the files that the fetcher brings, under their hub names', async () => {
    await withFiles({ blob: '{"a":1}\n' }, async (path) => {
      const hub: HubFetcher = async ({ repository, select }) => {
        expect(repository).toBe('o/n');
        expect(select(['train.jsonl', 'test.jsonl'])).toEqual(['test.jsonl']);
        return { revision: 'c0ffee', files: [{ path: 'test.jsonl', localPath: path('blob') }] };
      };
      const source = await openSource('hf:o/n:test', hub);
      expect(source.name).toBe('hf:o/n@c0ffee:test');
      for await (const item of source.rows())
        expect(item).toEqual({ file: 'hf:o/n/test.jsonl', line: 1, row: { a: 1 } });
    });
  });

  it('come from the hub that the environment names, where no other is given', async () => {
    await withFiles({}, async (path) => {
      vi.stubEnv('HF_HUB_OFFLINE', '1');
      vi.stubEnv('HF_HOME', path('.'));
      await expect(openSource('hf:o/n')).rejects.toMatchObject({ code: 'hub-offline' });
      vi.unstubAllEnvs();
    });
  });
});
