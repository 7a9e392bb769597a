import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { z } from 'zod';
import { ModelError } from '../../errors.ts';
import { CachedRepository, type HubRepository, isCommit } from './cache.ts';
import { downloadFile, type HubFile } from './download.ts';
import { HubUnreachable, hubGet } from './http.ts';
import type { HubSettings } from './settings.ts';

/**
 * The Hugging Face hub: its cache layout, its environment variables, over `fetch`. Written here because the official
 * client reads neither HF_ENDPOINT nor HF_TOKEN, has no offline mode, does not resume and does not verify.
 */
export type { HubRepository } from './cache.ts';
export { HubUnreachable } from './http.ts';
export { type HubSettings, hubSettings } from './settings.ts';

export interface HubProgress {
  readonly repository: string;
  /** Bytes so far and in all, of all files together. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface SnapshotRequest extends HubRepository {
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** Chooses among the repository's paths. */
  readonly select: (paths: readonly string[]) => readonly string[];
}

export interface SnapshotOptions {
  readonly settings: HubSettings;
  readonly onProgress?: (progress: HubProgress) => void;
  /** Told when a cached copy is used because the hub cannot be reached. */
  readonly notice?: (message: string) => void;
  /** Milliseconds for the first answer, where there is something to fall back on. */
  readonly lookupTimeout?: number;
}

export interface Snapshot {
  /** The commit that the revision stands for. */
  readonly revision: string;
  readonly directory: string;
  readonly files: readonly { readonly path: string; readonly localPath: string }[];
}

/**
 * The files of a repository at a revision, from the cache or downloaded into it and verified. Offline, or when the hub
 * cannot be reached, what the cache holds for the revision is used.
 */
export async function hubSnapshot(request: SnapshotRequest, options: SnapshotOptions): Promise<Snapshot> {
  const { settings } = options;
  const { revision = 'main' } = request;
  const cached = new CachedRepository(settings.cacheDirectory, request);
  let listing: { commit: string; files: HubFile[] };
  try {
    if (settings.offline) {
      throw new HubUnreachable('hub-offline', `${request.name} cannot be looked up: HF_HUB_OFFLINE is set.`, {
        hint: 'Unset HF_HUB_OFFLINE, or give a local directory.',
      });
    }
    const connectTimeout = options.lookupTimeout ?? settings.connectTimeout;
    listing = await listRepository(request, revision, { ...settings, connectTimeout });
  } catch (error) {
    const commit = error instanceof HubUnreachable ? cached.commitOf(revision) : undefined;
    if (commit === undefined) throw error;
    if (!settings.offline) {
      options.notice?.(
        `The hub cannot be reached: using the cached copy of ${request.name} (${commit.slice(0, 8)}).`,
      );
    }
    const paths = request.select(cached.listSnapshot(commit));
    const directory = cached.snapshot(commit);
    return {
      revision: commit,
      directory,
      files: paths.map((path) => ({ path, localPath: join(directory, path) })),
    };
  }
  const { commit } = listing;
  const wanted = new Set(request.select(listing.files.map((file) => file.path)));
  const files = listing.files.filter((file) => wanted.has(file.path));
  await downloadAll(request, commit, files, cached, options);
  await cached.rememberCommit(revision, commit);
  const directory = cached.snapshot(commit);
  return {
    revision: commit,
    directory,
    files: files.map(({ path }) => ({ path, localPath: join(directory, path) })),
  };
}

async function downloadAll(
  request: SnapshotRequest,
  commit: string,
  files: readonly HubFile[],
  cached: CachedRepository,
  { settings, onProgress }: SnapshotOptions,
): Promise<void> {
  const missing = files.filter((file) => !existsSync(join(cached.snapshot(commit), file.path)));
  const totalBytes = missing.reduce((sum, file) => sum + file.size, 0);
  let bytes = 0;
  const received = (count: number) => {
    bytes += count;
    onProgress?.({ repository: request.name, bytes, totalBytes });
  };
  const limit = pLimit({ concurrency: settings.parallel, rejectOnClear: true });
  const base = `${settings.endpoint}/${request.type === 'dataset' ? 'datasets/' : ''}${request.name}/resolve/${commit}`;
  const download = async (file: HubFile) => {
    const url = `${base}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    await downloadFile(url, file, cached.blob(file.hash), settings, received);
    await cached.link(commit, file.path, file.hash);
  };
  let failure: unknown;
  const downloads = missing.map((file) =>
    limit(download, file).catch((error: unknown) => {
      failure ??= error;
      limit.clearQueue();
    }),
  );
  await Promise.all(downloads);
  if (failure !== undefined) throw failure;
}

const listingSchema = z.object({
  sha: z.string().regex(/^[0-9a-f]{40}$/),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.number().optional(),
      blobId: z.string().optional(),
      lfs: z.object({ sha256: z.string(), size: z.number() }).nullish(),
    }),
  ),
});

async function listRepository(
  request: SnapshotRequest,
  revision: string,
  settings: HubSettings,
): Promise<{ commit: string; files: HubFile[] }> {
  const kind = request.type === 'dataset' ? 'data set' : 'model';
  const what = `${kind} ${request.name}${revision === 'main' ? '' : ` at revision ${revision}`}`;
  const url = `${settings.endpoint}/api/${request.type}s/${request.name}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const response = await hubGet(url, what, settings);
  const parsed = listingSchema.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success) {
    throw new ModelError(
      'hub-invalid',
      `${settings.endpoint} does not answer like the hub when asked for ${what}.`,
      {
        hint: 'Check HF_ENDPOINT.',
      },
    );
  }
  const { sha, siblings } = parsed.data;
  if (isCommit(revision) && sha !== revision) {
    throw new ModelError('hub-invalid', `The hub answers with commit ${sha} when asked for ${what}.`);
  }
  return { commit: sha, files: siblings.map((sibling) => hubFile(sibling, what)) };
}

function hubFile(sibling: z.infer<typeof listingSchema>['siblings'][number], what: string): HubFile {
  const { rfilename: path, lfs } = sibling;
  const hash = lfs?.sha256 ?? sibling.blobId;
  const size = lfs?.size ?? sibling.size;
  const safe = !path.startsWith('/') && !path.split(/[/\\]/).includes('..');
  if (!safe || hash === undefined || size === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
    throw new ModelError(
      'hub-invalid',
      `The hub lists ${what} with an unusable entry: ${JSON.stringify(sibling)}.`,
    );
  }
  return { path, size, hash };
}
