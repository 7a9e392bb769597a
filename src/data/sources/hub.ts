import { basename } from 'node:path';
import { DataError } from '../../errors.ts';
import { DATA_EXTENSIONS, dataExtension } from './files.ts';

/** A hub data set, as `hf:owner/name[@revision][/path][:split]` names it. */
export interface HubDataset {
  readonly repository: string;
  readonly revision?: string;
  /** A file, or the folder that files must lie in. */
  readonly path?: string;
  /** Absent: train, or everything where files name no splits. */
  readonly split?: string;
}

const HUB_DATASET =
  /^hf:(?:\/\/)?(?:datasets\/)?(?<repository>[\w.-]+\/[\w.-]+)(?:@(?<revision>[^/:]+))?(?:\/(?<path>[^:]+))?(?::(?<split>[\w.-]+))?$/;

/**
 * Reads a hub data set's name, or gives undefined for anything that is not one.
 * `hf:Anthropic/hh-rlhf/harmless-base:test` is the test split in a folder; the split is `train` when none is given.
 */
export function parseHubDataset(source: string): HubDataset | undefined {
  if (!source.startsWith('hf:')) return undefined;
  const groups = HUB_DATASET.exec(source)?.groups;
  if (groups === undefined) {
    throw new DataError('bad-hub-name', `"${source}" does not name a hub data set.`, {
      hint: 'Write hf:owner/name, with @revision, /folder-or-file and :split as needed, e.g. hf:Anthropic/hh-rlhf/harmless-base:test.',
    });
  }
  const { repository, revision, path, split } = groups;
  return {
    repository: repository!,
    ...(split !== undefined && { split }),
    ...(revision !== undefined && { revision }),
    ...(path !== undefined && { path }),
  };
}

/**
 * Chooses a split's files among a repository's paths: `data/train-00000-of-00002.parquet`, `train.jsonl.gz`,
 * `train/0.json`. Of several kinds one is taken: they mostly hold the same rows twice.
 */
export function selectSplit(paths: readonly string[], dataset: HubDataset): readonly string[] {
  const readable = paths.filter((path) => DATA_EXTENSIONS.includes(dataExtension(path))).sort();
  if (dataset.path !== undefined && readable.includes(dataset.path)) return [dataset.path];
  const folder = dataset.path === undefined ? '' : `${dataset.path.replace(/\/$/, '')}/`;
  const inFolder = rowFiles(readable.filter((path) => path.startsWith(folder)));
  const unsplit = inFolder.filter((path) => !/(^|[^a-z])(train|test|val|validation|dev|eval)/i.test(path));
  if (dataset.split === undefined && inFolder.length > 0 && unsplit.length === inFolder.length)
    return ofOneKind(inFolder);

  const name = dataset.split ?? 'train';
  const split = new RegExp(`(^|/)${name.replaceAll('.', '\\.')}([-/.]|$)`);
  const chosen = inFolder.filter((path) => split.test(path.slice(folder.length)));
  const folders = new Set(
    chosen.map((path) => path.slice(0, folder.length + path.slice(folder.length).search(split))),
  );
  if (chosen.length > 0 && folders.size === 1) return ofOneKind(chosen);
  const problem =
    chosen.length === 0
      ? `has no data files of a split "${name}"`
      : `has a split "${name}" in ${folders.size} folders (${[...folders].slice(0, 6).join(', ')})`;
  throw new DataError('no-such-split', `The data set ${dataset.repository} ${problem}.`, {
    hint: `Choose a folder, file or split, e.g. hf:${dataset.repository}/${inFolder[0] ?? readable[0] ?? 'FILE'}. It holds: ${readable.slice(0, 12).join(', ') || 'no data files'}.`,
  });
}

/** The files that hold rows: text beside files of other kinds is about the data (class names, notes, lists of files). */
function rowFiles(paths: readonly string[]): readonly string[] {
  const rows = paths.filter((path) => !ABOUT.test(basename(path)));
  const typed = rows.filter((path) => dataExtension(path) !== '.txt');
  return typed.length > 0 ? typed : rows;
}

/** Files that are about a data set, whatever lies beside them. */
const ABOUT =
  /^(?:dataset_infos?\.json|(?:licen[cs]e|copying|notice|readme|requirements)\b.*\.txt(?:\.gz)?)$/i;

/** What to read of files that lie beside each other in several kinds and numbers: typed columns first. */
const KINDS = ['.parquet', '.jsonl', '.ndjson', '.json', '.csv', '.tsv', '.txt'];

/** The files of the most frequent kind, and of one that lies there packed and unpacked, the latter. */
function ofOneKind(paths: readonly string[]): readonly string[] {
  const once = paths.filter((path) => !(path.endsWith('.gz') && paths.includes(path.slice(0, -3))));
  const ofKind = (kind: string) => once.filter((path) => dataExtension(path) === kind);
  return KINDS.map(ofKind).reduce((best, files) => (files.length > best.length ? files : best));
}
