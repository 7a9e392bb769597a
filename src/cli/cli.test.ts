import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { DataError, EngineError, UsageError } from '../errors.ts';
import type { CliContext } from './context.ts';
import { errorRecord, exitCodeOf, Interrupted, renderError } from './errors.ts';
import { watchInterrupt } from './interrupt.ts';
import { createPaint, plainLine } from './paint.ts';
import { formatDuration, Progress } from './progress.ts';

const plain = createPaint(false, {});

describe('errors', () => {
  it('have the documented exit codes', () => {
    expect(exitCodeOf(new UsageError('a', 'm'))).toBe(2);
    expect(exitCodeOf(new DataError('a', 'm'))).toBe(3);
    expect(exitCodeOf(new EngineError('a', 'm'))).toBe(1);
    expect(exitCodeOf(new Interrupted('m'))).toBe(130);
    expect(exitCodeOf(new TypeError('m'))).toBe(1);
  });

  it('say what, where, what to do and the code; the cause only with --debug', () => {
    const error = new DataError('bad-row', 'No field "chosen".', {
      at: { file: 'pairs.jsonl', line: 7 },
      hint: 'Name the field with --format.',
      cause: new Error('the cause'),
    });
    expect(renderError(error, { paint: plain, debug: false })).toBe(
      'error: No field "chosen".\n    at: pairs.jsonl:7\n  hint: Name the field with --format.\n  code: bad-row',
    );
    const debug = renderError(error, { paint: plain, debug: true });
    expect(debug).toContain('caused by');
    expect(debug).toContain('Error: the cause');
    expect(errorRecord(error)).toMatchObject({ event: 'error', code: 'bad-row', at: { line: 7 } });
  });

  it('name the flags for what the library calls options', () => {
    const error = new UsageError('run-exists', 'It holds a run.', { hint: 'Resume it, or overwrite it.' });
    const hint = 'Resume it, or overwrite it (--resume, --output, --overwrite).';
    expect(renderError(error, { paint: plain, debug: false })).toContain(`hint: ${hint}\n`);
    expect(errorRecord(error)).toMatchObject({ hint });
  });

  it('turn system errors into words and never show a stack unasked', () => {
    const missing = Object.assign(new Error('ENOENT: …'), { code: 'ENOENT', syscall: 'open', path: '/x/y' });
    expect(renderError(missing, { paint: plain, debug: false })).toContain('/x/y: no such file or directory');
    const fault = renderError(new TypeError('x is undefined'), { paint: plain, debug: false });
    expect(fault).toMatch(/^internal error: x is undefined/);
    expect(fault).not.toMatch(/\n\s+at .*:\d+:\d+/);
  });
});

describe('paint', () => {
  it('honours NO_COLOR and FORCE_COLOR', () => {
    expect(createPaint(true, { NO_COLOR: '1' }).red('x')).toBe('x');
    expect(createPaint(true, {}).red('x')).toBe('\u001b[31mx\u001b[39m');
    expect(createPaint(false, {}).red('x')).toBe('x');
    expect(createPaint(false, { FORCE_COLOR: '1' }).bold('x')).toContain('\u001b[1m');
  });

  it('disarms control characters of foreign text and keeps it to one line', () => {
    expect(plainLine('a\u001b[2Jb\nc')).toBe('a\\x1b[2Jb c');
    expect(plainLine('héllo wörld', 6)).toBe('héllo…');
  });
});

function fakeContext(interactive: boolean): { context: CliContext; text(): string } {
  const stderr = new PassThrough();
  const chunks: string[] = [];
  stderr.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  const context = {
    json: false,
    interactive,
    stderr,
    paint: plain,
    note: (line: string) => stderr.write(`${line}\n`),
  } as unknown as CliContext;
  return { context, text: () => chunks.join('') };
}

describe('Progress', () => {
  it('redraws one line on a terminal', async () => {
    const { context, text } = fakeContext(true);
    let now = 0;
    const progress = new Progress(context, { unit: 'step', now: () => now });
    for (let done = 0; done <= 4; done++) {
      progress.update({ done, total: 4, fields: ['loss 0.5'] });
      now += 1000;
    }
    progress.finish();
    await new Promise(setImmediate);
    expect(text().match(/\n/g)).toHaveLength(1);
    expect(text()).toContain('step 2/4  loss 0.5  2 s left');
    expect(text()).toMatch(/step 4\/4 {2}loss 0\.5 {2}\d s\n$/);
  });

  it('prints few lines elsewhere', async () => {
    const { context, text } = fakeContext(false);
    let now = 0;
    const progress = new Progress(context, { unit: 'step', now: () => now });
    for (let done = 0; done <= 100; done++) {
      progress.update({ done, total: 100, fields: [] });
      now += 300;
    }
    progress.finish();
    await new Promise(setImmediate);
    const lines = text().trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(4);
    expect(lines.at(-1)).toBe('step 100/100  30 s');
    expect(text()).not.toContain('\u001b');
  });

  it('is silent under --json', async () => {
    const { context, text } = fakeContext(true);
    context.json = true;
    const progress = new Progress(context, { unit: 'step' });
    progress.update({ done: 1, total: 2, fields: [] });
    progress.finish();
    await new Promise(setImmediate);
    expect(text()).toBe('');
  });
});

describe('formats', () => {
  it('durations', () => {
    expect([5, 65, 3700, 59.6].map(formatDuration)).toEqual([
      '5 s',
      '1 min 05 s',
      '1 h 01 min',
      '1 min 00 s',
    ]);
  });
});

describe('watchInterrupt', () => {
  it('aborts once and then leaves the signal to the system', () => {
    const before = process.listenerCount('SIGTERM');
    let told = 0;
    const { signal, release } = watchInterrupt(() => {
      told++;
    });
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    process.emit('SIGTERM', 'SIGTERM');
    expect(signal.aborted).toBe(true);
    expect(told).toBe(1);
    expect(process.listenerCount('SIGTERM')).toBe(before);
    release();
  });
});
