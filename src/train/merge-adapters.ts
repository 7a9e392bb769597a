import type { LoadedModel } from '../checkpoints/index.ts';
import type { Trunk } from '../models/contract.ts';
import { requireUnused } from '../models/in-use.ts';
import { linearsOf } from '../models/linears.ts';
import { mergeLora } from '../nn/lora.ts';
import { leaveFiles } from './identity.ts';

/**
 * Adds the LoRA adapters of a model to its weights, in place; a model without any stays as it is. Afterwards it can be saved
 * whole (`saveModel`). What is trained from it knows that no file holds these weights.
 *
 * @throws UsageError `model-in-use` while the model is trained, generates, scores or is saved
 */
export function mergeAdapters({ model }: LoadedModel<Trunk>): void {
  requireUnused(model);
  const adapted = linearsOf(model).filter(({ adapter }) => adapter !== undefined);
  if (adapted.length === 0) return;
  mergeLora(adapted);
  leaveFiles(model);
}
