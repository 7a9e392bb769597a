import { describe, expect, it } from 'vitest';
import { Interrupted } from './errors.ts';
import { asInterrupted, watchInterrupt } from './interrupt.ts';

describe('watchInterrupt', () => {
  it('takes a hangup for a request to stop, and a second one for no more', () => {
    const before = process.listenerCount('SIGHUP');
    const { signal, release } = watchInterrupt(() => {});
    process.emit('SIGHUP', 'SIGHUP');
    expect(signal.aborted).toBe(true);
    // With no listener left, the next one would end the process.
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    release();
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });
});

describe('asInterrupted', () => {
  const stopped = AbortSignal.abort();

  function thrownBy(signal: AbortSignal): unknown {
    try {
      signal.throwIfAborted();
    } catch (error) {
      return error;
    }
    throw new Error('nothing was thrown');
  }

  it('is Interrupted for what the signal threw, and for what that caused', () => {
    const reason = thrownBy(stopped);
    for (const error of [reason, new Error('outer', { cause: new Error('inner', { cause: reason }) })]) {
      const interrupted = asInterrupted(error, stopped, 'Interrupted; go on.');
      expect(interrupted).toBeInstanceOf(Interrupted);
      expect(interrupted).toMatchObject({ message: 'Interrupted; go on.', cause: error });
    }
  });

  it('leaves every other error as it is', () => {
    const full = new Error('no space left on the disk');
    expect(asInterrupted(full, stopped, 'm')).toBe(full);
    expect(asInterrupted(undefined, stopped, 'm')).toBeUndefined();
    // A request of its own that timed out.
    const other = new Error('the hub does not answer', { cause: thrownBy(AbortSignal.abort()) });
    expect(asInterrupted(other, stopped, 'm')).toBe(other);
    const { signal } = new AbortController();
    expect(asInterrupted(undefined, signal, 'm')).toBeUndefined();
    expect(asInterrupted(full, signal, 'm')).toBe(full);
  });
});
