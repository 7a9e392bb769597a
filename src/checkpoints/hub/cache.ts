import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../../errors.ts';
import { writeAtomically } from '../atomic-file.ts';

/** A file as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 of a large file, git's SHA-1 of a small one. */
  readonly hash: string;
}

const hubFilesSchema = z.array(z.object({ path: z.string(), size: z.number(), hash: z.string() }));

export interface HubRepository {
  readonly type: 'model' | 'dataset';
  /** `owner/name`. */
  readonly name: string;
}

/**
 * One repository in the cache that huggingface_hub uses too:
 *
 *     models--owner--name/
 *       refs/main                 the commit that a branch or tag stood for
 *       blobs/HASH                contents, by SHA-256 (large files) or git's SHA-1
 *       snapshots/COMMIT/path     symbolic links to blobs
 *       listings/COMMIT.json      what the hub lists for the commit; only this client writes and reads it
 */
export class CachedRepository {
  readonly #root: string;

  constructor(cacheDirectory: string, repository: HubRepository) {
    this.#root = join(cacheDirectory, `${repository.type}s--${repository.name.replaceAll('/', '--')}`);
  }

  blob(hash: string): string {
    return join(this.#root, 'blobs', hash);
  }

  snapshot(commit: string): string {
    return join(this.#root, 'snapshots', commit);
  }

  /** The commit that a revision stood for when it was last looked up, if its snapshot is here. */
  commitOf(revision: string): string | undefined {
    const ref = this.#ref(revision);
    const commit = isCommit(revision)
      ? revision
      : existsSync(ref)
        ? readFileSync(ref, 'utf8').trim()
        : undefined;
    return commit !== undefined && existsSync(this.snapshot(commit)) ? commit : undefined;
  }

  async rememberCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const ref = this.#ref(revision);
    await mkdir(dirname(ref), { recursive: true });
    const temporary = `${ref}.${randomBytes(4).toString('hex')}`;
    await writeFile(temporary, commit);
    await rename(temporary, ref);
  }

  /** What the hub lists for a commit; undefined for a snapshot that only other clients have fetched. */
  listingOf(commit: string): readonly HubFile[] | undefined {
    const path = this.#listing(commit);
    if (!existsSync(path)) return undefined;
    try {
      return hubFilesSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch {
      return undefined;
    }
  }

  /** Without a listing nobody can tell a snapshot whose download broke off from a whole one. */
  async rememberListing(commit: string, files: readonly HubFile[]): Promise<void> {
    if (this.listingOf(commit) !== undefined) return;
    // A cache that cannot be written may still hold every file.
    await writeAtomically(this.#listing(commit), (file) => file.writeFile(JSON.stringify(files))).catch(
      () => {},
    );
  }

  /** Whether a file of a snapshot is here in its full length. */
  has(commit: string, { path, size }: HubFile): boolean {
    return isWhole(join(this.snapshot(commit), path), size);
  }

  /** Paths of the files of a snapshot that are here. */
  listSnapshot(commit: string): string[] {
    const root = this.snapshot(commit);
    return (readdirSync(root, { recursive: true }) as string[])
      .filter((path) => existsSync(join(root, path)) && statSync(join(root, path)).isFile())
      .map((path) => path.replaceAll('\\', '/'));
  }

  /** Makes `path` of a snapshot stand for a blob, atomically. */
  async link(commit: string, path: string, hash: string): Promise<string> {
    const pointer = join(this.snapshot(commit), path);
    await mkdir(dirname(pointer), { recursive: true });
    const temporary = `${pointer}.${randomBytes(4).toString('hex')}`;
    await symlink(relative(dirname(pointer), this.blob(hash)), temporary);
    try {
      await rename(temporary, pointer);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    return pointer;
  }

  #listing(commit: string): string {
    return join(this.#root, 'listings', `${commit}.json`);
  }

  #ref(revision: string): string {
    if (revision.split('/').includes('..')) {
      throw new ModelError('hub-revision', `"${revision}" is not a revision.`);
    }
    return join(this.#root, 'refs', revision);
  }
}

export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether there is a file of that size. Contents are checked as they are downloaded. */
export function isWhole(path: string, size: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.size === size;
}
