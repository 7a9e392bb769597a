import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Gives all tests, and the processes that they start, one folder for temporary files, and removes it with all of them. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'mallows-tests-'));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
