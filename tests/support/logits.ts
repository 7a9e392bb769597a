import { packSequences } from '../../src/data/index.ts';
import type { Tensor } from '../../src/engine/index.ts';
import type { CausalLM } from '../../src/models/index.ts';
import { headPositions } from '../../src/train/completions.ts';
import { walk } from '../../src/train/walk.ts';

/** Logits `[completion, vocabulary]` at the positions that predict a completion's tokens. Belongs to the caller's scope. */
export function completionLogits(model: CausalLM, prompt: Int32Array, completion: Int32Array): Tensor {
  const row = packSequences([{ prompt, completion }]);
  const { rows } = headPositions(row.completions);
  return model.head.forward(walk(model, row, rows, { gradients: false }).hidden);
}
