import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { removeTree } from './files.ts';
import { MADE_OF_MODEL, REPLACED_FOLDER, RUN_FILES } from './records.ts';

const OURS: ReadonlySet<string> = new Set(Object.values(RUN_FILES));

/** Where comparisons look for what a run's model wrote, and for what judges and reward models made of that. */
const OF_ITS_MODEL = new RegExp(`^(${MADE_OF_MODEL.join('|')}).*\\.jsonl?$`);

/** Whether a file is, or lies in, what a run in `output` writes, so that overwriting that run removes or moves it. */
export function belongsToRun(output: string, file: string): boolean {
  const [name = ''] = relative(realPath(output), realPath(file)).split(sep);
  return OURS.has(name) || OF_ITS_MODEL.test(name);
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : resolve(path);
}

/**
 * Removes a run, and nothing that a run does not write. What was made of its model elsewhere may have cost money, and must
 * not be taken for the next model's: it is moved.
 */
export function clearRun(path: string, notice?: (code: string, message: string) => void): void {
  const names = readdirSync(path);
  for (const name of names) if (OURS.has(name)) removeTree(join(path, name));
  const stale = names.filter((name) => OF_ITS_MODEL.test(name));
  if (stale.length === 0) return;
  const aside = join(path, REPLACED_FOLDER, new Date().toISOString().replaceAll(/[:.]/g, '-'));
  mkdirSync(aside, { recursive: true });
  for (const name of stale) renameSync(join(path, name), join(aside, name));
  notice?.(
    'set-aside',
    `Made with the model of the run that is overwritten, and moved to ${aside}: ${stale.join(', ')}.`,
  );
}
