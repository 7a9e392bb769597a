import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ModelError } from '../../errors.ts';
import { type HubFile, isWhole } from './cache.ts';
import { HubUnreachable, hubGet } from './http.ts';
import { withLock } from './lock.ts';
import type { HubSettings } from './settings.ts';

/** Broken connections that one file may survive; each continues where the one before stopped. */
const ATTEMPTS = 4;

/**
 * Downloads a file to `target` and checks its size and hash. A broken download is continued, now or by the next
 * process; one whose hash is wrong is thrown away. Several processes may ask for one file: one of them downloads it.
 */
export async function downloadFile(
  url: string,
  file: HubFile,
  target: string,
  settings: HubSettings,
  onBytes: (count: number) => void,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await withLock(`${target}.lock`, async () => {
    if (isWhole(target, file.size)) {
      onBytes(file.size);
      return;
    }
    const partial = `${target}.mallows-partial`;
    for (let attempt = 1; ; attempt++) {
      try {
        await fetchInto(partial, url, file, settings, onBytes);
        break;
      } catch (error) {
        if (!(error instanceof HubUnreachable) || attempt === ATTEMPTS) throw error;
      }
    }
    await rename(partial, target);
  });
}

async function fetchInto(
  partial: string,
  url: string,
  file: HubFile,
  settings: HubSettings,
  onBytes: (count: number) => void,
): Promise<void> {
  let have = existsSync(partial) ? (await stat(partial)).size : 0;
  if (have > file.size) have = 0;
  let hash = newHash(file);
  if (have > 0)
    for await (const chunk of createReadStream(partial, { end: have - 1 })) hash.update(chunk as Buffer);
  if (have < file.size || file.size === 0) {
    const range: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
    const response = await hubGet(url, file.path, settings, range);
    if (have > 0 && response.status !== 206) {
      have = 0;
      hash = newHash(file);
    }
    onBytes(have);
    const out = await open(partial, have > 0 ? 'r+' : 'w');
    try {
      await receive(response, out, have, file, hash, settings, onBytes);
      await out.sync();
    } finally {
      await out.close();
    }
  } else onBytes(have);
  if (hash.digest('hex') === file.hash) return;
  await rm(partial, { force: true });
  throw new ModelError(
    'hub-corrupted',
    `${file.path} arrived with another hash than the hub states (${file.hash}).`,
    {
      hint: 'Try again. If it repeats, a proxy or mirror alters the file.',
    },
  );
}

async function receive(
  response: Response,
  out: FileHandle,
  from: number,
  file: HubFile,
  hash: Hash,
  settings: HubSettings,
  onBytes: (count: number) => void,
): Promise<void> {
  let position = from;
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined) {
      const { done, value } = await withinTime(reader.read(), settings.stallTimeout);
      if (done) break;
      if (position + value.length > file.size) {
        throw new ModelError(
          'hub-corrupted',
          `${file.path} is longer than the ${file.size} bytes that the hub states.`,
        );
      }
      await out.write(value, 0, value.length, position);
      hash.update(value);
      position += value.length;
      onBytes(value.length);
    }
  } catch (cause) {
    await reader?.cancel().catch(() => {});
    onBytes(-position);
    if (cause instanceof ModelError) throw cause;
    throw broken(file, position, (cause as Error).message, cause);
  }
  if (position < file.size) {
    onBytes(-position);
    throw broken(file, position, 'the connection closed');
  }
}

function broken(file: HubFile, position: number, reason: string, cause?: unknown): HubUnreachable {
  return new HubUnreachable(
    'hub-truncated',
    `The download of ${file.path} broke off after ${position} of ${file.size} bytes: ${reason}.`,
    { hint: 'Run the command again: it continues where it stopped.', cause },
  );
}

function newHash(file: HubFile): Hash {
  if (file.hash.length === 64) return createHash('sha256');
  return createHash('sha1').update(`blob ${file.size}\0`);
}

async function withinTime<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing arrived for ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
