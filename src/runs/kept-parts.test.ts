import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { KeptParts, RunLock } from './index.ts';

describe('KeptParts', () => {
  let path: string;
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), 'mallows-parts-')), 'a.parts.jsonl');
    return () => rmSync(join(path, '..'), { recursive: true });
  });

  const collect = (settings: object, diesAt?: number, size = 2) => {
    const notice = { onKept: vi.fn(), onOther: vi.fn() };
    const compute = vi.fn(async (part: readonly number[], before: number) => {
      if (before === diesAt) throw new Error('killed');
      return part.map((n) => [n * n]);
    });
    const done = new KeptParts(path, settings, notice).collect([1, 2, 3, 4, 5], size, compute);
    return { done, notice, computed: () => compute.mock.calls.map(([part]) => part) };
  };
  const squares = [[1], [4], [9], [16], [25]];

  it('goes on after the last whole part', async () => {
    await expect(collect({ n: 1, unset: undefined }, 4).done).rejects.toThrow('killed');
    appendFileSync(path, '[[25'); // a torn line
    const { done, notice, computed } = collect({ n: 1 });
    expect(await done).toEqual(squares);
    expect(computed()).toEqual([[5]]);
    expect(notice.onKept).toHaveBeenCalledWith(4);
    expect(await collect({ n: 1 }).done, 'nothing is left to do').toEqual(squares);
  });

  it('begins again for other settings, or other parts, and says so', async () => {
    await expect(collect({ n: 1 }, 2).done).rejects.toThrow('killed');
    for (const [settings, size] of [
      [{ n: 2 }, 2],
      [{ n: 2 }, 3],
    ] as const) {
      const { done, notice, computed } = collect(settings, undefined, size);
      expect(await done).toEqual(squares);
      expect(computed().flat()).toEqual([1, 2, 3, 4, 5]);
      expect(notice.onOther).toHaveBeenCalledOnce();
    }
  });

  it('leaves a file alone that another process writes, and no lock behind', async () => {
    const lock = RunLock.acquire(`${path}.lock`);
    await expect(collect({}).done).rejects.toMatchObject({ code: 'parts-in-use' });
    lock.release();
    writeFileSync(path, 'not json\n');
    await expect(collect({}).done).rejects.toMatchObject({ code: 'jsonl-damaged' });
    expect(existsSync(`${path}.lock`)).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe('not json\n');
  });

  it('keeps nothing without a path', async () => {
    const kept = new KeptParts(undefined, {});
    expect(await kept.collect([1, 2, 3], 2, async (part) => part)).toEqual([1, 2, 3]);
    kept.remove();
  });
});
