import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { ModelError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../text/json.ts';
import { writeAtomically } from './atomic-file.ts';

/** Where this project keeps what it fetched: MALLOWS_CACHE, or the platform's cache folder. */
export function mallowsCache(env: NodeJS.ProcessEnv = process.env): string {
  if (env.MALLOWS_CACHE) return resolve(env.MALLOWS_CACHE);
  const fallback =
    process.platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : join(homedir(), '.cache');
  return join(env.XDG_CACHE_HOME || fallback, 'mallows');
}

/** Whether a path names a GGUF file. */
export function isGguf(path: string): boolean {
  return /\.gguf$/i.test(path);
}

/** A JSON file's object; undefined when there is no such file. Throws `json-invalid`. */
export function readJsonObject(path: string): JsonObject | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (isJsonObject(value)) return value;
    throw new Error('it is not a JSON object');
  } catch (cause) {
    throw new ModelError('json-invalid', `${path} cannot be read: ${(cause as Error).message}.`, { cause });
  }
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeAtomically(path, (file) => file.writeFile(`${JSON.stringify(value, null, 2)}\n`));
}

export interface FileIdentity {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * A file's SHA-256. Kept in the cache by path, size and modification time, so that a large file is read for it once.
 */
export async function identifyFile(path: string, cacheDirectory = mallowsCache()): Promise<FileIdentity> {
  const real = realpathSync(path);
  const { size, mtimeMs } = await stat(real);
  const key = createHash('sha256')
    .update(JSON.stringify([real, size, mtimeMs]))
    .digest('hex');
  const record = join(cacheDirectory, 'hashes', key);
  if (existsSync(record)) {
    const sha256 = readFileSync(record, 'utf8').trim();
    if (/^[0-9a-f]{64}$/.test(sha256)) return { path, bytes: size, sha256 };
  }
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(real, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  const sha256 = hash.digest('hex');
  // Only a convenience: a cache that cannot be written must not keep a model from loading.
  await writeAtomically(record, (file) => file.writeFile(`${sha256}\n`)).catch(() => {});
  return { path, bytes: size, sha256 };
}
