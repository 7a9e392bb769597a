import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { diskWarning, estimateDisk } from './disk.ts';

it('counts checkpoints of fp32 weights with the optimiser’s numbers, and the result', () => {
  const options = { trainedParameters: 1000, savedParameters: 3000, dtype: 'bfloat16' } as const;
  // Weights and two moments, of four bytes each; the result has two bytes a weight.
  expect(estimateDisk({ ...options, optimizer: { name: 'adamw' }, checkpoints: 2 })).toBe(2 * 12_000 + 6000);
  expect(estimateDisk({ ...options, optimizer: { name: 'sgd' }, checkpoints: 1 })).toBe(4000 + 6000);
});

it('warns of what does not fit on a disk, and of nothing else', () => {
  expect(diskWarning(tmpdir(), 1)).toBeUndefined();
  expect(diskWarning(tmpdir(), 2 ** 60)).toMatch(
    /take up to 1048576 TiB; .* are free on the disk of .*fewer checkpoints/,
  );
});
