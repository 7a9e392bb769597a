import { join } from 'node:path';
import pLimit from 'p-limit';
import { z } from 'zod';
import { ModelError } from '../../errors.ts';
import { CachedRepository, type HubFile, type HubRepository, isCommit } from './cache.ts';
import { downloadFile } from './download.ts';
import { HubUnreachable, hubGet } from './http.ts';
import type { HubSettings } from './settings.ts';
import { missingShards } from './shards.ts';

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
  /** Told when a cached copy is used because the hub cannot be reached, or one that may lack files. */
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
 * cannot be reached, the cache's copy of the revision is used; throws `hub-incomplete` where files of it are missing.
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
    return snapshotOf(cached, commit, chooseCached(request, commit, cached, options, error));
  }
  const { commit } = listing;
  await cached.rememberListing(commit, listing.files);
  const files = chosenFiles(request, listing.files);
  await downloadAll(request, commit, files, cached, options);
  await cached.rememberCommit(revision, commit);
  return snapshotOf(
    cached,
    commit,
    files.map((file) => file.path),
  );
}

function snapshotOf(cached: CachedRepository, commit: string, paths: readonly string[]): Snapshot {
  const directory = cached.snapshot(commit);
  return {
    revision: commit,
    directory,
    files: paths.map((path) => ({ path, localPath: join(directory, path) })),
  };
}

function chosenFiles({ select }: SnapshotRequest, files: readonly HubFile[]): readonly HubFile[] {
  const wanted = new Set(select(files.map((file) => file.path)));
  return files.filter((file) => wanted.has(file.path));
}

/** The paths to read of a cached snapshot: chosen from all that the hub has, so that none is passed over. */
function chooseCached(
  request: SnapshotRequest,
  commit: string,
  cached: CachedRepository,
  { settings, notice = () => {} }: SnapshotOptions,
  cause: unknown,
): readonly string[] {
  const copy = `the cached copy of ${request.name} (${commit.slice(0, 8)})`;
  const listed = cached.listingOf(commit);
  const files = listed && chosenFiles(request, listed);
  const paths = files?.map((file) => file.path) ?? request.select(cached.listSnapshot(commit));
  const missing =
    files?.filter((file) => !cached.has(commit, file)).map((file) => file.path) ?? missingShards(paths);
  if (missing.length > 0) throw incomplete(copy, missing, settings, cause);
  if (!settings.offline) notice(`The hub cannot be reached: using ${copy}.`);
  if (listed === undefined)
    notice(`Whether ${copy} is complete cannot be checked: another program fetched it.`);
  return paths;
}

function incomplete(
  copy: string,
  missing: readonly string[],
  { offline }: HubSettings,
  cause: unknown,
): ModelError {
  const more = missing.length - MOST_NAMED;
  const named = `${missing.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  const when = offline ? 'without HF_HUB_OFFLINE' : 'when the hub can be reached';
  return new ModelError('hub-incomplete', `Files are missing from ${copy}: ${named}.`, {
    hint: `Run the command ${when}: it fetches what is missing.`,
    cause,
  });
}

/** Missing files that an error names. */
const MOST_NAMED = 6;

async function downloadAll(
  request: SnapshotRequest,
  commit: string,
  files: readonly HubFile[],
  cached: CachedRepository,
  { settings, onProgress }: SnapshotOptions,
): Promise<void> {
  const missing = files.filter((file) => !cached.has(commit, file));
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
