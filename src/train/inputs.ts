import { existsSync } from 'node:fs';
import { isAdapterDirectory, readAdapterConfig } from '../checkpoints/adapter.ts';
import type { ModelProvenance } from '../checkpoints/index.ts';
import { baseSpecification } from '../checkpoints/resolve.ts';
import { UsageError } from '../errors.ts';
import { belongsToRun } from '../runs/index.ts';
import type { TrainOptions } from './options.ts';

/** What a run is made from: a file or hub id, or rows with or without one. */
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
  if (overwrite === true) refuse('data', [data, evalData].flatMap(fileOf), output);
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

function fileOf(input: unknown): string[] {
  const source = typeof input === 'object' && input !== null && 'source' in input ? input.source : input;
  return typeof source === 'string' ? [source] : [];
}
