import type { BadRowReason } from '../contract.ts';

/** A row as it was read: own properties only, nothing about them known yet. */
export type Row = Readonly<Record<string, unknown>>;

/** One row of a source, or the reason why it could not be read. */
export type SourceRow =
  | { readonly file: string; readonly line: number; readonly row: Row }
  | { readonly file: string; readonly line: number; readonly reason: BadRowReason; readonly detail: string };

/** Rows in order, one at a time: a source never needs to hold its whole file. */
export type RowStream = AsyncIterable<SourceRow>;

/**
 * Rows that a program has or receives: an array, a generator, a database's cursor. Each row is an object of columns. What
 * can be gone through once only is enough: rows are read once, in order.
 */
export type Rows = Iterable<object> | AsyncIterable<object>;

/** What loaders read: a file, a pattern of files, a hub data set or a named one; several of them; or rows. */
export type DataSource = string | readonly string[] | Rows;

/**
 * Finds the files of a hub data set: lists the repository at a revision, lets `select` choose, and returns local copies.
 * Implemented by the layer that talks to the hub, so that this one needs no network to be tested.
 */
export type HubFetcher = (request: {
  /** `owner/name`. */
  readonly repository: string;
  /** Branch, tag or commit; absent: the default branch. */
  readonly revision?: string;
  /** Chooses among the repository's paths. Throws `DataError` when none fits. */
  readonly select: (paths: readonly string[]) => readonly string[];
}) => Promise<{
  /** The commit that `revision` stood for. */
  readonly revision: string;
  readonly files: readonly { readonly path: string; readonly localPath: string }[];
}>;
