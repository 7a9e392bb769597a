import { createHash } from 'node:crypto';
import type { LoadedModel, ModelProvenance } from '../checkpoints/index.ts';
import type { Trunk } from '../models/contract.ts';
import { linearsOf } from '../models/linears.ts';
import { allParameters } from './compute.ts';

/**
 * Where the weights of models that changed in this process are now; undefined until somebody says. By model, because the
 * `LoadedModel` that a caller loaded goes on naming its files after its model was trained in place.
 */
const changed = new WeakMap<Trunk, ModelProvenance | undefined>();

/** Says that a model's weights are no longer those of the files that it was loaded from. */
export function leaveFiles(model: Trunk): void {
  changed.set(model, undefined);
}

/** Says where a changed model's weights are now: in the files of `source`, by default in memory only. */
export function settle<Model extends Trunk>(
  loaded: LoadedModel<Model>,
  source = memorySource(loaded),
): LoadedModel<Model> {
  changed.set(loaded.model, source);
  return { ...loaded, source };
}

/** A model with the source that its weights have now, whatever was done to them since it was loaded. */
export function withCurrentSource<Model extends Trunk>(loaded: LoadedModel<Model>): LoadedModel<Model> {
  if (!changed.has(loaded.model)) return loaded;
  const source = changed.get(loaded.model);
  return source === undefined ? settle(loaded) : { ...loaded, source };
}

/** Whether no file holds a model's weights, so that nobody finds them again by its source. */
export function inMemoryOnly({ weights }: ModelProvenance): boolean {
  return weights.length === 0;
}

/** Lineage stays; what would lead to the files does not, so that nobody loads those in this model's place. */
function memorySource({ model, config, tokenizer, source }: LoadedModel<Trunk>): ModelProvenance {
  const spec = inMemoryOnly(source) ? source.spec : `${source.spec} (changed in memory)`;
  const hash = createHash('sha256')
    .update(JSON.stringify([hashWeights(model), config.raw, tokenizer.hash]))
    .digest('hex');
  return { ...source, spec, location: spec, weights: [], hash };
}

function hashWeights(model: Trunk): string {
  const hash = createHash('sha256');
  for (const { name, value } of allParameters(model)) {
    hash.update(JSON.stringify([name, value.shape])).update(value.toArray());
  }
  const linears = linearsOf(model);
  hash.update(JSON.stringify(linears.map(({ adapter }) => adapter?.scale ?? 0)));
  return hash.digest('hex');
}
