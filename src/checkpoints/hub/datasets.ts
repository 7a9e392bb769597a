import { hubSnapshot, type SnapshotOptions } from './index.ts';

/** What `hubDatasets` is asked for: a repository, a revision, and which of its files. */
export interface DatasetRequest {
  readonly repository: string;
  readonly revision?: string;
  readonly select: (paths: readonly string[]) => readonly string[];
}

/** Access to the hub's data sets for the data layer (its `HubFetcher`). */
export function hubDatasets(options: SnapshotOptions) {
  return ({ repository, revision, select }: DatasetRequest) =>
    hubSnapshot(
      { type: 'dataset', name: repository, select, ...(revision === undefined ? {} : { revision }) },
      options,
    );
}
