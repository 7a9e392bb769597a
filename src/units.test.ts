import { expect, it } from 'vitest';
import { formatBytes } from './units.ts';

it.each([
  [0, '0 B'],
  [512, '512 B'],
  [1536, '1.5 KiB'],
  [300 * 2 ** 20, '300 MiB'],
  [1.5 * 2 ** 30, '1.5 GiB'],
  [2 ** 41, '2.0 TiB'],
  [2 ** 60, '1048576 TiB'],
])('%i bytes are read as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
