import {
  hubSettings,
  type LoadedModel,
  type LoadOptions,
  loadModel,
  type ModelSource,
} from '../checkpoints/index.ts';
import { baseReference, baseSpecification } from '../checkpoints/resolve.ts';
import { ModelError } from '../errors.ts';

/** Loads the files that a model came from again: those very files, whatever its name stands for by now. */
export async function loadPinned(source: ModelSource, options: LoadOptions): Promise<LoadedModel> {
  const specification = baseSpecification(baseReference(source));
  if (source.kind !== 'hub') return loadModel(specification, options);
  try {
    // A commit never changes, and this one was read before: the hub, which may be out of reach by now, need not be asked.
    return await loadModel(specification, { ...options, hub: { ...hubSettings(), offline: true } });
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    return loadModel(specification, options);
  }
}
