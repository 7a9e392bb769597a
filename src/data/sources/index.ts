import { basename } from 'node:path';
import type { DataSource, HubFetcher, RowStream } from './contract.ts';
import { expandPath, readRows } from './files.ts';
import { parseHubDataset, selectSplit } from './hub.ts';
import { MEMORY, readMemory, requireRows } from './memory.ts';
import { NAMED_DATASETS } from './named.ts';

export type { DataSource, HubFetcher, Row, RowStream, Rows, SourceRow } from './contract.ts';

/** Data that was found and can be read from its first row. Files can be read again; rows of a program perhaps not. */
export interface OpenSource {
  /** What provenance records: the paths, the hub data set at its commit, or `memory`. */
  readonly name: string;
  rows(): RowStream;
}

/**
 * Finds data by name: a file, a pattern of files, a hub data set (`hf:owner/name`), a named set (`hh`), or several.
 * Several files read as one, in the order given (within a pattern, by name). Rows of a program are taken as they are.
 * Throws `UsageError` for what is neither.
 */
export async function openSource(source: DataSource, hub?: HubFetcher): Promise<OpenSource> {
  if (isNames(source)) return openNamed(source, hub);
  requireRows(source);
  return { name: MEMORY, rows: () => readMemory(source) };
}

/** An array of nothing is rows of which there are none. */
function isNames(source: DataSource): source is string | readonly string[] {
  if (!Array.isArray(source)) return typeof source === 'string';
  return source.length > 0 && source.every((part) => typeof part === 'string');
}

async function openNamed(source: string | readonly string[], hub?: HubFetcher): Promise<OpenSource> {
  const parts: { name: string; files: { path: string; name: string }[] }[] = [];
  const given = typeof source === 'string' ? [source] : source;
  for (const { asked, part } of given.flatMap(named)) {
    const dataset = parseHubDataset(part);
    if (dataset === undefined) {
      const files = await expandPath(part);
      parts.push({
        name: asked,
        files: files.map((path) => ({ path, name: asked === part ? path : basename(path) })),
      });
      continue;
    }
    const { repository, revision } = dataset;
    const found = await (hub ?? (await usualHub()))({
      repository,
      ...(revision !== undefined && { revision }),
      select: (paths) => selectSplit(paths, dataset),
    });
    const name = `hf:${repository}@${found.revision}${dataset.path ? `/${dataset.path}` : ''}${dataset.split ? `:${dataset.split}` : ''}`;
    const files = found.files.map((file) => ({
      path: file.localPath,
      name: `hf:${repository}/${file.path}`,
    }));
    parts.push({ name, files });
  }
  const files = parts.flatMap((part) => part.files);
  async function* rows(): RowStream {
    for (const { path, name } of files) yield* readRows(path, name);
  }
  return { name: parts.map((part) => part.name).join(', '), rows };
}

/** What a name stands for, which is mostly itself. */
function named(asked: string): { readonly asked: string; readonly part: string }[] {
  return (NAMED_DATASETS.get(asked) ?? [asked]).map((part) => ({ asked, part }));
}

/** The hub that the environment names, asked without a word about progress. */
async function usualHub(): Promise<HubFetcher> {
  const { hubDatasets, hubSettings } = await import('../../checkpoints/index.ts');
  return hubDatasets({ settings: hubSettings() });
}
