import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  CheckpointStore,
  JsonLinesWriter,
  RunDirectory,
  RunLock,
  RunReader,
  readJsonLines,
  writeFileAtomic,
  writeJsonLines,
} from './index.ts';

const actual = await vi.importActual<typeof import('node:fs')>('node:fs');
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, renameSync: vi.fn(fs.renameSync) };
});

const temporary = () => mkdtempSync(join(tmpdir(), 'mallows-runs-'));
const timing = {
  step: 2,
  seconds: 1,
  tokens: 8,
  tokensPerSecond: 8,
  itemsPerSecond: 1,
  residentBytes: 1,
  secondsLeft: 0,
};
const options = { recipe: { model: 'tiny', steps: 3 }, provenance: { seed: 1 } };

describe('JSON lines', () => {
  it('ignores a torn last line and cuts it before appending', () => {
    const path = join(temporary(), 'a.jsonl');
    writeFileSync(path, '{"step":1}\n{"step":2}\n{"st');
    const { records, completeBytes } = readJsonLines(path);
    expect(records).toEqual([{ step: 1 }, { step: 2 }]);
    const writer = new JsonLinesWriter(path, completeBytes);
    writer.append({ step: 3 });
    expect(writer.bytes).toBe(readFileSync(path).byteLength);
    writer.close();
    expect(readFileSync(path, 'utf8')).toBe('{"step":1}\n{"step":2}\n{"step":3}\n');
  });

  it('names file and line of damage elsewhere', () => {
    const path = join(temporary(), 'a.jsonl');
    writeFileSync(path, '{"step":1}\nnot json\n{"step":3}\n');
    expect(() => readJsonLines(path)).toThrowError(
      expect.objectContaining({ code: 'jsonl-damaged', at: { file: path, line: 2 } }),
    );
  });

  it('counts bytes, not characters', () => {
    const path = join(temporary(), 'a.jsonl');
    const writer = new JsonLinesWriter(path);
    writer.append({ text: 'Grüße' });
    writer.append({ text: 'あ' });
    writer.close();
    expect(readJsonLines(path).records).toEqual([{ text: 'Grüße' }, { text: 'あ' }]);
  });

  it('are on disk line by line while a file is written, and a failure leaves the old file alone', () => {
    const folder = temporary();
    const path = join(folder, 'a.jsonl');
    function* records(failing: boolean) {
      yield { text: 'Grüße' };
      expect(statSync(`${path}.tmp-${process.pid}`).size).toBe(Buffer.byteLength('{"text":"Grüße"}\n'));
      if (failing) throw new Error('stop');
      yield { text: 'あ' };
    }
    writeJsonLines(path, records(false));
    expect(readJsonLines(path).records).toEqual([{ text: 'Grüße' }, { text: 'あ' }]);
    const before = readFileSync(path, 'utf8');
    expect(() => writeJsonLines(path, records(true))).toThrow('stop');
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(readdirSync(folder)).toEqual(['a.jsonl']);
  });
});

describe('atomic files', () => {
  it('makes the folder that a result is to go to, and leaves nothing else there', () => {
    const folder = join(temporary(), 'results', 'today');
    writeFileAtomic(join(folder, 'scores.jsonl'), '{}\n');
    expect(readFileSync(join(folder, 'scores.jsonl'), 'utf8')).toBe('{}\n');
    expect(readdirSync(folder)).toEqual(['scores.jsonl']);
  });
});

describe('run lock', () => {
  it('refuses a second trainer, and is free again after release', () => {
    const path = join(temporary(), 'run.lock');
    const lock = RunLock.acquire(path);
    expect(() => RunLock.acquire(path)).toThrowError(
      expect.objectContaining({ code: 'run-locked', hint: expect.not.stringContaining('delete') }),
    );
    lock.release();
    RunLock.acquire(path).release();
    expect(existsSync(path)).toBe(false);
  });

  it('takes over from a process that was killed', async () => {
    const path = join(temporary(), 'run.lock');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const lock = RunLock.acquire(path);
    const holder = { ...JSON.parse(readFileSync(path, 'utf8')), pid: child.pid };
    // Alive, but not the process that took the lock: its start time differs.
    writeFileSync(path, JSON.stringify(holder));
    if (holder.began !== '') RunLock.acquire(path).release();
    lock.release();
    child.kill('SIGKILL');
    await new Promise((resolve) => child.on('exit', resolve));
    writeFileSync(path, JSON.stringify(holder));
    RunLock.acquire(path).release();
  });

  it.each([
    ['on another machine', { pid: process.pid, host: 'a-container-before', began: '7' }],
    ['without a start time', { pid: process.pid, host: hostname(), began: '' }],
  ])('names the file to delete when its holder cannot be asked: %s', (_, holder) => {
    const path = join(temporary(), 'run.lock');
    writeFileSync(path, JSON.stringify(holder));
    expect(() => RunLock.acquire(path)).toThrowError(
      expect.objectContaining({
        code: 'run-locked',
        message: expect.stringContaining(`Process ${holder.pid} on ${holder.host} took the lock ${path}.`),
        hint: expect.stringContaining(`delete ${path}`),
      }),
    );
    expect(readFileSync(path, 'utf8')).toBe(JSON.stringify(holder));
  });

  it('takes over a lock torn by a kill', () => {
    const path = join(temporary(), 'run.lock');
    writeFileSync(path, '{"pid":');
    RunLock.acquire(path).release();
  });
});

describe('checkpoint store', () => {
  const fill = (text: string) => (directory: string) => writeFileSync(join(directory, 'weights'), text);

  it('keeps the last K and returns the newest with its state', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 2);
    for (const step of [1, 9, 10]) await store.write(step, { step }, fill(`weights ${step}`));
    expect(store.steps()).toEqual([9, 10]);
    const { checkpoint, damaged } = await store.latest();
    expect(checkpoint).toMatchObject({ step: 10, state: { step: 10 } });
    expect(damaged).toEqual([]);
  });

  it('passes over damaged checkpoints and says why', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 5);
    for (const step of [1, 2, 3, 4]) await store.write(step, {}, fill('weights'));
    writeFileSync(join(store.path(4), 'weights'), 'weightz');
    appendFileSync(join(store.path(3), 'weights'), '!');
    writeFileSync(join(store.path(2), 'checkpoint.json'), '{"vers');
    const { checkpoint, damaged } = await store.latest();
    expect(checkpoint?.step).toBe(1);
    expect(damaged.map(({ reason }) => reason)).toEqual([
      'the SHA-256 of weights differs',
      'weights has 8 bytes instead of 7',
      'no readable checkpoint.json',
    ]);
  });

  it('leaves nothing of a checkpoint that was interrupted', async () => {
    const directory = join(temporary(), 'checkpoints');
    const store = new CheckpointStore(directory, 2);
    const failing = store.write(1, {}, () => {
      throw new Error('disk full');
    });
    await expect(failing).rejects.toThrow('disk full');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves nothing of a checkpoint whose process was killed', async () => {
    const directory = join(temporary(), 'checkpoints');
    mkdirSync(join(directory, 'step-3.tmp-7'), { recursive: true });
    expect(readdirSync(new CheckpointStore(directory, 2).directory)).toEqual([]);
  });

  it('writes a step again', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 1);
    for (const text of ['first', 'second']) await store.write(4, { text }, fill(text));
    expect(readdirSync(store.directory)).toEqual(['step-4']);
    expect((await store.latest()).checkpoint).toMatchObject({ step: 4, state: { text: 'second' } });
  });

  it.each([
    ['no files', { files: null }],
    ['no state', { state: undefined }],
    ['no hash', { files: { weights: { bytes: 7 } } }],
    ['nothing', undefined],
  ])('counts a manifest with %s as damaged', async (_, changes) => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 1);
    const manifest = join(await store.write(4, {}, fill('weights')), 'checkpoint.json');
    const whole = JSON.parse(readFileSync(manifest, 'utf8'));
    writeFileSync(manifest, changes === undefined ? 'null' : JSON.stringify({ ...whole, ...changes }));
    expect(await store.latest()).toEqual({
      checkpoint: undefined,
      damaged: [{ path: store.path(4), reason: 'no readable checkpoint.json' }],
    });
  });

  it('does not take what may pass for damage, nor another version', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 1);
    const manifest = join(await store.write(4, {}, fill('weights')), 'checkpoint.json');
    writeFileSync(manifest, '{"version":2}');
    await expect(store.latest()).rejects.toMatchObject({ code: 'checkpoint-version' });
    // Stands in for a denied permission.
    rmSync(manifest);
    symlinkSync(manifest, manifest);
    await expect(store.latest()).rejects.toMatchObject({ code: 'ELOOP', path: manifest });
  });

  it('passes over a checkpoint that the disk cannot give', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 5);
    for (const step of [1, 2, 3, 4]) await store.write(step, {}, fill('weights'));
    const [weights, manifest] = [join(store.path(2), 'weights'), join(store.path(2), 'checkpoint.json')];
    rmSync(weights);
    mkdirSync(weights);
    const stated = JSON.parse(readFileSync(manifest, 'utf8'));
    stated.files.weights.bytes = statSync(weights).size;
    writeFileSync(manifest, JSON.stringify(stated));
    rmSync(join(store.path(3), 'checkpoint.json'));
    mkdirSync(join(store.path(3), 'checkpoint.json'));
    rmSync(store.path(4), { recursive: true });
    writeFileSync(store.path(4), 'a file');
    const { checkpoint, damaged } = await store.latest();
    expect(checkpoint?.step).toBe(1);
    const directory = (path: string) => `cannot be read: ${path}: it is a directory`;
    expect(damaged).toEqual([
      { path: store.path(4), reason: expect.stringMatching(/^cannot be read: .*json: a part of the path/) },
      { path: store.path(3), reason: directory(join(store.path(3), 'checkpoint.json')) },
      { path: store.path(2), reason: directory(weights) },
    ]);
  });

  it.skipIf(process.platform !== 'linux')(
    'passes over a checkpoint on a part of a disk that fails',
    async () => {
      const store = new CheckpointStore(join(temporary(), 'checkpoints'), 5);
      for (const step of [1, 2]) await store.write(step, {}, fill('weights'));
      const manifest = join(store.path(2), 'checkpoint.json');
      rmSync(manifest);
      // The first page of a process is never mapped: reading it is an EIO.
      symlinkSync('/proc/self/mem', manifest);
      const { checkpoint, damaged } = await store.latest();
      expect(checkpoint?.step).toBe(1);
      expect(damaged).toEqual([
        { path: store.path(2), reason: expect.stringMatching(/^cannot be read: .*checkpoint\.json: EIO/) },
      ]);
    },
  );

  it('brings back what was set aside for a checkpoint that a kill kept from its place', async () => {
    const directory = join(temporary(), 'checkpoints');
    const store = new CheckpointStore(directory, 1);
    await store.write(4, { text: 'first' }, fill('first'));
    renameSync(store.path(4), join(directory, 'step-4.tmp-7-replaced'));
    mkdirSync(join(directory, 'step-4.tmp-7'));
    const { checkpoint } = await new CheckpointStore(directory, 1).latest();
    expect(checkpoint).toMatchObject({ step: 4, state: { text: 'first' } });
    expect(readdirSync(directory)).toEqual(['step-4']);
  });

  it('removes what was set aside for a checkpoint that is in its place', async () => {
    const directory = join(temporary(), 'checkpoints');
    const store = new CheckpointStore(directory, 1);
    await store.write(4, { text: 'second' }, fill('second'));
    mkdirSync(join(directory, 'step-4.tmp-7-replaced'));
    const { checkpoint } = await new CheckpointStore(directory, 1).latest();
    expect(checkpoint).toMatchObject({ state: { text: 'second' } });
    expect(readdirSync(directory)).toEqual(['step-4']);
  });

  it('keeps the earlier checkpoint of a step where the new one cannot take its place', async () => {
    const store = new CheckpointStore(join(temporary(), 'checkpoints'), 1);
    await store.write(4, { text: 'first' }, fill('first'));
    vi.mocked(renameSync).mockImplementation((from, to) => {
      if (/tmp-\d+$/.test(String(from)) && String(to).endsWith('step-4')) throw new Error('no rename');
      actual.renameSync(from, to);
    });
    await expect(store.write(4, { text: 'second' }, fill('second'))).rejects.toThrow('no rename');
    vi.mocked(renameSync).mockImplementation(actual.renameSync);
    expect((await store.latest()).checkpoint).toMatchObject({ state: { text: 'first' } });
    expect(readdirSync(store.directory)).toEqual(['step-4']);
  });

  it.each([0, -1, 1.5, Number.NaN])('is asked to keep at least one: %d', (keep) => {
    const directory = join(temporary(), 'checkpoints');
    expect(() => new CheckpointStore(directory, keep)).toThrowError(
      expect.objectContaining({ code: 'checkpoint-keep' }),
    );
    expect(existsSync(directory)).toBe(false);
  });
});

describe('run directory', () => {
  it('writes the contract files, and cuts metrics to the checkpoint on resume', () => {
    const path = join(temporary(), 'run');
    const run = RunDirectory.open(path, options);
    run.startLogs(0);
    run.logMetrics({ step: 1, loss: 0.5 });
    const mark = run.metricsBytes;
    run.logMetrics({ step: 2, loss: 0.25 });
    run.logTiming(timing);
    run.close();
    const again = RunDirectory.open(path, { ...options, resume: true });
    again.startLogs(mark);
    again.logMetrics({ step: 2, loss: 0.125 });
    again.close();
    expect(new RunReader(path).metrics()).toEqual([
      { step: 1, loss: 0.5 },
      { step: 2, loss: 0.125 },
    ]);
    expect(readFileSync(join(path, 'recipe.yaml'), 'utf8')).toBe('model: tiny\nsteps: 3\n');
    expect(readJsonLines(join(path, 'timing.jsonl')).records).toHaveLength(1);
  });

  it('says when metrics.jsonl is shorter than a checkpoint remembers, and leaves no torn line', () => {
    const path = join(temporary(), 'run');
    const notices: string[] = [];
    const open = () =>
      RunDirectory.open(path, {
        ...options,
        resume: true,
        notice: (code, message) => notices.push(`${code}: ${message}`),
      });
    const run = open();
    run.startLogs(0);
    for (const step of [1, 2]) run.logMetrics({ step });
    const mark = run.metricsBytes;
    run.close();
    notices.length = 0;
    truncateSync(join(path, 'metrics.jsonl'), mark - 3);
    const again = open();
    again.startLogs(mark);
    again.logMetrics({ step: 3 });
    again.close();
    expect(notices).toEqual([
      expect.stringMatching(/^metrics-incomplete: .*metrics\.jsonl has 19 bytes .* remembers 22:/),
    ]);
    expect(new RunReader(path).metrics()).toEqual([{ step: 1 }, { step: 3 }]);
  });

  it.each(['{"started":"2026', 'null'])('names a provenance.json that is damaged: %s', (content) => {
    const path = join(temporary(), 'run');
    RunDirectory.open(path, options).close();
    const file = join(path, 'provenance.json');
    writeFileSync(file, content);
    const damaged = expect.objectContaining({ code: 'json-damaged', at: { file } });
    expect(() => RunDirectory.open(path, { ...options, resume: true })).toThrowError(damaged);
  });

  it('refuses to overwrite a run, to resume another, and to share one', () => {
    const path = join(temporary(), 'run');
    const run = RunDirectory.open(path, options);
    expect(() => RunDirectory.open(path, { ...options, resume: true })).toThrowError(
      expect.objectContaining({ code: 'run-locked' }),
    );
    run.close();
    expect(() => RunDirectory.open(path, options)).toThrowError(
      expect.objectContaining({ code: 'run-exists' }),
    );
    const other = { ...options, recipe: { model: 'tiny', steps: 4 }, resume: true };
    expect(() => RunDirectory.open(path, other)).toThrowError(/"steps: 3" there, "steps: 4" asked for/);
  });

  it('overwrites its own files only', () => {
    const path = join(temporary(), 'run');
    RunDirectory.open(path, options).close();
    mkdirSync(join(path, 'model'));
    writeFileSync(join(path, 'notes.txt'), 'mine');
    RunDirectory.open(path, { ...options, overwrite: true }).close();
    expect(readdirSync(path).sort()).toEqual(['checkpoints', 'notes.txt', 'provenance.json', 'recipe.yaml']);
  });
});
