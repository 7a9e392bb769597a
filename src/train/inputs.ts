import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isAdapterDirectory, readAdapterConfig } from '../checkpoints/adapter.ts';
import type { ModelProvenance } from '../checkpoints/index.ts';
import { baseSpecification } from '../checkpoints/resolve.ts';
import type { Dataset } from '../data/index.ts';
import { matchingDataFiles } from '../data/sources/files.ts';
import { UsageError } from '../errors.ts';
import { belongsToRun } from '../runs/index.ts';
import type { TrainOptions } from './options.ts';

/** What a run is made from: files, patterns of files or hub ids, or rows with or without those. */
interface Inputs {
  readonly data?: unknown;
  readonly evalData?: unknown;
}

/**
 * Refuses a run directory in which the run would destroy what it is made from: its model, which the result takes the place
 * of, or, with `overwrite`, its model or its data.
 *
 * @throws UsageError `model-in-output` or `data-in-output`
 */
export function requireInputsKept(
  { output, overwrite, data, evalData }: Pick<TrainOptions, 'output' | 'overwrite'> & Inputs,
  { location }: ModelProvenance,
): void {
  if (output === undefined) return;
  const models = isAdapterDirectory(location)
    ? [location, baseSpecification(readAdapterConfig(location))]
    : [location];
  refuse('model', models, output);
  if (overwrite === true) refuse('data', [data, evalData].flatMap(filesOf), output);
}

function refuse(what: 'model' | 'data', files: readonly string[], output: string): void {
  const inside = files.find((file) => existsSync(file) && belongsToRun(output, file));
  if (inside === undefined) return;
  const message =
    what === 'model'
      ? `The model to train, ${inside}, is a part of the run directory ${output}, where its result is to go.`
      : `The data, ${inside}, are a part of the run that is to be overwritten, ${output}.`;
  throw new UsageError(`${what}-in-output`, message, {
    hint: `Choose another output directory, or move the ${what} out of this one.`,
  });
}

/** The files that data are read from, or were. */
function filesOf(data: unknown): string[] {
  if (typeof data === 'string') return filesAt(data);
  if (Array.isArray(data)) return data.flatMap((part) => (typeof part === 'string' ? filesAt(part) : []));
  return isDataset(data) ? [...new Set(data.locations.map(({ file }) => file))] : [];
}

/** What a path means: itself, or as a pattern what it matches. */
function filesAt(path: string): string[] {
  const folder = dirname(path);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  if (existsSync(path) || !isFolder) return [path];
  return matchingDataFiles(basename(path), readdirSync(folder)).map((name) => join(folder, name));
}

function isDataset(data: unknown): data is Dataset<unknown> {
  return typeof data === 'object' && data !== null && 'locations' in data;
}
